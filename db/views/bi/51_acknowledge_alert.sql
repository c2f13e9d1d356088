-- bi.acknowledge_alert: a reviewer says that somebody looks after an open alert. The event names the user that is logged
-- in. Runs with its owner's rights, so that reviewers need none of their own on alerts.
CREATE FUNCTION bi.acknowledge_alert(alert_id bigint, why text)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    UPDATE alert SET state = 'acknowledged', updated_at = now() WHERE alert.alert_id = $1 AND alert.state = 'open';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no open alert %', $1
            USING ERRCODE = 'no_data_found', HINT = 'Open alerts stand in bi.alert_history.';
    END IF;
    INSERT INTO alert_event (alert_id, at, event, who, why) VALUES ($1, now(), 'acknowledged', session_user, $2);
END $$;

COMMENT ON FUNCTION bi.acknowledge_alert IS 'Acknowledge an open alert, as the user who is logged in, and say why.';
