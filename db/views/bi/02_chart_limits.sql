-- chart_limits: the counts from which an hour of a control chart signals, at the tail probability of three sigmas
-- (0.00135) on each side. The same as casting_core/control_charts.py: exact, from the binomial, or from the
-- beta-binomial where batches spread more than chance (intra-class correlation icc above 0).
-- least_above: this many defective parts or more signal (inspected + 1: no count can). most_below: this many or fewer
-- signal (-1: no count can).
CREATE FUNCTION bi.chart_limits(
    inspected bigint, centre double precision, icc double precision, OUT most_below bigint, OUT least_above bigint)
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    tail    CONSTANT double precision := 0.0013498980316300933;
    n       CONSTANT double precision := inspected;
    c       CONSTANT double precision := centre;
    -- One part's weight against the prior's: 0 makes the beta-binomial the binomial.
    s       CONSTANT double precision := CASE WHEN icc > 1e-9 THEN icc / (1 - icc) ELSE 0 END;
    x       double precision := floor(n * c);
    term    double precision := 1;
    total   double precision := 1;
    reached double precision := 0;
BEGIN
    most_below := -1;
    least_above := inspected + 1;
    IF inspected < 1 OR c <= 0 OR c >= 1 THEN
        -- At a centre of 0 the first defective part signals, at 1 the first sound one.
        IF c <= 0 AND inspected > 0 THEN
            least_above := 1;
        ELSIF c >= 1 THEN
            most_below := inspected - 1;
        END IF;
        RETURN;
    END IF;
    -- All probabilities as multiples of one near the mean: first up, then down, until they no longer count.
    WHILE x < n AND term > 1e-18 * total LOOP
        term := term * ((n - x) * (c + x * s)) / ((x + 1) * (1 - c + (n - x - 1) * s));
        total := total + term;
        x := x + 1;
    END LOOP;
    x := floor(n * c);
    term := 1;
    WHILE x > 0 AND term > 1e-18 * total LOOP
        x := x - 1;
        term := term * ((x + 1) * (1 - c + (n - x - 1) * s)) / ((n - x) * (c + x * s));
        total := total + term;
    END LOOP;
    -- P(X <= x) from the lowest x that counts.
    LOOP
        reached := reached + term / total;
        IF reached <= tail THEN
            most_below := x;
        ELSIF 1 - reached <= tail THEN
            least_above := x + 1;
            RETURN;
        END IF;
        EXIT WHEN x >= n;
        term := term * ((n - x) * (c + x * s)) / ((x + 1) * (1 - c + (n - x - 1) * s));
        x := x + 1;
    END LOOP;
END $$;
COMMENT ON FUNCTION bi.chart_limits IS
    'The counts of defective parts from which an hour of a control chart signals, below and above its centre.';
