-- Records where a month's rows lie. Its hours stay; no champion has anything to recount in them any more.
WITH settled AS (
    UPDATE part_hour SET rival_models = '{}' WHERE hour >= :since AND hour < :until AND rival_models <> '{}'
)
INSERT INTO archived_month (month, url, images, verdicts, quarantined, labels)
VALUES (:month, :url, :images, :verdicts, :quarantined, :labels)
