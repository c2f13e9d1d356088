-- bi.add_label: a reviewer says what a part shows. Every picture of it that counts gets the label; a correction is another
-- label, the newest one counts. Returns the number of pictures.
-- Runs with its owner's rights, so that reviewers need none of their own on images and labels; who it was is the user
-- that is logged in, and nothing that could be given.
CREATE FUNCTION bi.add_label(line text, part_id text, label text, why text DEFAULT '', day date DEFAULT NULL)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    labelled bigint;
BEGIN
    WITH newest AS (
        SELECT DISTINCT ON (image.captured_at, image.uri) image.image_id, image.captured_at
        FROM image
        WHERE image.part_id = $2 AND image.line = $1
          AND (image.captured_at AT TIME ZONE 'UTC')::date = coalesce($5, (
              SELECT max((known.captured_at AT TIME ZONE 'UTC')::date)
              FROM image AS known
              WHERE known.part_id = $2 AND known.line = $1))
        ORDER BY image.captured_at, image.uri, image.image_id DESC
    )
    INSERT INTO label (image_id, captured_at, label, who, why)
    SELECT newest.image_id, newest.captured_at, $3, session_user, $4 FROM newest;
    GET DIAGNOSTICS labelled = ROW_COUNT;
    IF labelled = 0 THEN
        RAISE EXCEPTION 'there is no part % of line %', $2, $1 || coalesce(' on ' || $5, '')
            USING ERRCODE = 'no_data_found', HINT = 'Line, part_id and day (UTC) stand in bi.part.';
    END IF;
    RETURN labelled;
END $$;

COMMENT ON FUNCTION bi.add_label IS 'Label a part ok or defective, as the user who is logged in. Without a day: its newest.';
