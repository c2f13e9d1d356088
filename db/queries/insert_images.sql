-- Makes images known. Two runs may list the same new image at once; the second one's row is dropped.
INSERT INTO image (uri, etag, size, line, part_id, view, captured_at, stored_at)
SELECT *
FROM unnest(
    CAST(:uris AS text[]), CAST(:etags AS text[]), CAST(:sizes AS bigint[]), CAST(:lines AS text[]),
    CAST(:part_ids AS text[]), CAST(:views AS text[]),
    CAST(:captured_ats AS timestamptz[]), CAST(:stored_ats AS timestamptz[]))
ON CONFLICT (uri, etag, captured_at) DO NOTHING
