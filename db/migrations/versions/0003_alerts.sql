-- Streams watched for climbs, alerts, their events and deliveries.
SELECT;
