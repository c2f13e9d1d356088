-- What share of the parts was truly defective in the last 7 days, with the model's own errors taken out?
SELECT line_name, day, inspected, rate, corrected_rate, corrected_low, corrected_high, model
FROM bi.defect_rate_corrected_daily
WHERE day >= current_date - 7
ORDER BY line_name, day;
