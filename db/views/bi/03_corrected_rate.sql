-- corrected_rate: the true defect rate, with the model's own errors taken out. The same as rogan_gladen in
-- casting_core/rates.py: the estimate of Rogan and Gladen (1978, American Journal of Epidemiology 107, 71-76), the 95 %
-- interval of Lang and Reiczigel (2014, Preventive Veterinary Medicine 113, 13-22, equations 14 to 16).
-- The model called `detected` of `golden_defective` castings defective, and passed `passed` of `golden_sound`. There is no
-- row where nothing was inspected, or where the model is no better than chance.
CREATE FUNCTION bi.corrected_rate(
    defective bigint, inspected bigint, detected bigint, golden_defective bigint, passed bigint, golden_sound bigint)
RETURNS TABLE (rate double precision, low double precision, high double precision)
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT
    least(1, greatest(0, (observed + plain_sp - 1) / (plain_se + plain_sp - 1))),
    least(1, greatest(0, true_rate + shift - half)),
    least(1, greatest(0, true_rate + shift + half))
FROM (
    SELECT *,
        2 * z2 * (true_rate * spread_se - (1 - true_rate) * spread_sp) AS shift,
        sqrt(z2 * (p * (1 - p) / n + true_rate ^ 2 * spread_se + (1 - true_rate) ^ 2 * spread_sp)) / youden AS half
    FROM (
        SELECT *,
            (p + sp - 1) / youden AS true_rate,
            se * (1 - se) / (golden_defective + 2) AS spread_se,
            sp * (1 - sp) / (golden_sound + 2) AS spread_sp
        FROM (
            SELECT *, (defective + z2 / 2) / n AS p, se + sp - 1 AS youden
            FROM (
                SELECT
                    defective::double precision / nullif(inspected, 0) AS observed,
                    detected::double precision / nullif(golden_defective, 0) AS plain_se,
                    passed::double precision / nullif(golden_sound, 0) AS plain_sp,
                    -- One success and one failure more each, so that a perfect golden set promises no perfect model.
                    (detected + 1)::double precision / (golden_defective + 2) AS se,
                    (passed + 1)::double precision / (golden_sound + 2) AS sp,
                    inspected + 3.841458820694124 AS n,
                    3.841458820694124::double precision AS z2  -- 1.96 squared
            ) AS given
        ) AS adjusted
    ) AS estimated
    WHERE youden > 0 AND plain_se + plain_sp > 1 AND inspected > 0
) AS spread
$$;
COMMENT ON FUNCTION bi.corrected_rate IS
    'The defect rate with the model''s own errors taken out, and its 95 % interval; no row where none can be given.';
