-- Labels by people, and the events of models.
SELECT;
