"""Images, models and statistics of casting inspection. Pure: knows no database, no Prefect, no environment."""
