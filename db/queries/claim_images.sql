-- Takes the images of a chunk that nobody else holds. The row locks last until the transaction ends, however it ends.
-- Follow it with `still_unjudged`: a lock can be had the moment its last holder commits a verdict, and this
-- statement's snapshot may be older than that commit.
SELECT image_id
FROM image
WHERE image_id = ANY (:image_ids) AND captured_at BETWEEN :captured_from AND :captured_to
ORDER BY image_id
FOR UPDATE SKIP LOCKED
