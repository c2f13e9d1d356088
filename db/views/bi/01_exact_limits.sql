-- exact_low, exact_high: the exact 95 % confidence interval of a rate (Clopper and Pearson 1934, Biometrika 26, 404-413).
-- Quick enough to stand in a view: some 10 microseconds an interval.

-- Stirling's series for ln(n!), exact to a double's digits from 40 on (Abramowitz and Stegun 6.1.41).
CREATE FUNCTION bi.log_factorial(n double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (n + 0.5) * ln(n) - n + 0.9189385332046727 + 1 / (12 * n) - 1 / (360 * n ^ 3) + 1 / (1260 * n ^ 5);

-- The limit p at which the counts as extreme as this one have the probability 0.025: for the upper limit P(X <= k), for
-- the lower one P(X >= k). Newton's method on the logarithm of that tail, which is concave in p, from the approximation
-- of Abramowitz and Stegun 26.5.22. The tail is the probability of k itself times a series of falling terms, each the
-- one before times the ratio of neighbouring binomial probabilities (the series 26.5.4, which ends for whole numbers).
CREATE FUNCTION bi.exact_limit(defective bigint, inspected bigint, upper boolean) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    z          CONSTANT double precision := CASE WHEN upper THEN 1.959963984540054 ELSE -1.959963984540054 END;
    log_tail   CONSTANT double precision := -3.6888794541139363;  -- ln 0.025
    k          CONSTANT double precision := defective;
    n          CONSTANT double precision := inspected;
    -- The limit is a quantile of the beta distribution of a and b.
    a          CONSTANT double precision := CASE WHEN upper THEN k + 1 ELSE k END;
    b          CONSTANT double precision := n + 1 - a;
    -- The lower limit counts sound parts instead, so that both tails are sums downwards from a count.
    counted    CONSTANT double precision := CASE WHEN upper THEN k ELSE n - k END;
    fewer      CONSTANT double precision := least(k, n - k);
    log_choose double precision := 0;
    skew       double precision;
    h          double precision;
    p          double precision;
    odds       double precision;
    i          double precision;
    term       double precision;
    total      double precision;
    step       double precision;
BEGIN
    IF defective NOT BETWEEN 0 AND inspected THEN
        RAISE EXCEPTION '% defective of % inspected is no count of parts', defective, inspected
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF counted = n THEN
        RETURN CASE WHEN upper THEN 1 ELSE 0 END;
    ELSIF k = 0 THEN
        RETURN 1 - exp(log_tail / n);
    ELSIF k = n THEN
        RETURN exp(log_tail / n);
    END IF;
    IF fewer < 40 THEN
        FOR j IN 1..fewer::integer LOOP
            log_choose := log_choose + ln((n - fewer + j) / j);
        END LOOP;
    ELSE
        log_choose := bi.log_factorial(n) - bi.log_factorial(k) - bi.log_factorial(n - k);
    END IF;
    skew := 1 / (2 * b - 1) - 1 / (2 * a - 1);
    h := 2 / (1 / (2 * a - 1) + 1 / (2 * b - 1));
    p := (z * z - 3) / 6;
    p := a / (a + b * exp(-2 * (z * sqrt(h + p) / h + skew * (p + 5.0 / 6 - 2 / (3 * h)))));
    -- Two or three rounds are the rule. Beyond 10 million parts the last digits of the logarithms keep it from settling.
    FOR round IN 1..20 LOOP
        odds := CASE WHEN upper THEN (1 - p) / p ELSE p / (1 - p) END;
        i := counted;
        term := 1;
        total := 1;
        WHILE term > 1e-17 * total LOOP
            term := term * (odds * i / (n - i + 1));
            total := total + term;
            i := i - 1;
        END LOOP;
        step := (log_choose + k * ln(p) + (n - k) * ln(1 - p) + ln(total) - log_tail) * total;
        -- Never further than half the way to an end, beyond which there is no rate.
        IF upper THEN
            p := least(p + step * (1 - p) / (n - k), (1 + p) / 2);
        ELSE
            p := greatest(p - step * p / k, p / 2);
        END IF;
        EXIT WHEN abs(step) < 1e-6;
    END LOOP;
    RETURN p;
END $$;
COMMENT ON FUNCTION bi.exact_limit IS 'One limit of the exact 95 % confidence interval of defective / inspected.';

CREATE FUNCTION bi.exact_low(defective bigint, inspected bigint) RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN bi.exact_limit(defective, inspected, false);
COMMENT ON FUNCTION bi.exact_low IS 'Lower limit of the exact 95 % confidence interval of defective / inspected.';

CREATE FUNCTION bi.exact_high(defective bigint, inspected bigint) RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN bi.exact_limit(defective, inspected, true);
COMMENT ON FUNCTION bi.exact_high IS 'Upper limit of the exact 95 % confidence interval of defective / inspected.';
