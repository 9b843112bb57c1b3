-- From version 1 to 2: which messages stand in the place of which, and who of them uses its once-key.
ALTER TABLE records ADD COLUMN graft TEXT;
ALTER TABLE records ADD COLUMN lent TEXT;
