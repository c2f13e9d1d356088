-- Opens an alert. Returns nothing where the stream has an unresolved one of that kind already.
INSERT INTO alert (
    kind, severity, stream, line, signal, opened_at, updated_at, since_low, since, since_high, parts, observed_rate,
    corrected_rate, corrected_low, corrected_high, baseline_rate, evidence, examples)
VALUES (
    :kind, :severity, :stream, :line, :signal, :at, :at, :since_low, :since, :since_high, :parts, :observed_rate,
    :corrected_rate, :corrected_low, :corrected_high, :baseline_rate, :evidence, :examples)
ON CONFLICT (stream, kind) WHERE state <> 'resolved' DO NOTHING
RETURNING *
