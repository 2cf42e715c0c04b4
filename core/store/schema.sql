-- Every table of the database but the values: those live in one table per dataset, values_<id>, whose columns are
-- t, v0, v1, ...; the names people gave to columns stay in the card and are never identifiers.
-- A section per version. A new file runs all of them, an older file those it has not seen; never edit a released one.

-- version 1
CREATE TABLE datasets (
    id VARCHAR PRIMARY KEY,
    card VARCHAR NOT NULL,          -- JSON of core.data.card.DatasetCard
    created_at TIMESTAMP NOT NULL   -- UTC, like every stamp here
);
CREATE TABLE runs (
    id VARCHAR PRIMARY KEY,         -- also the job's id and the name of its folder
    dataset VARCHAR NOT NULL,       -- id of the dataset it was trained on; that may be gone
    name VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    spec VARCHAR NOT NULL,          -- JSON of core.training.spec.Spec
    card VARCHAR,                   -- JSON, NaN allowed (so not the JSON type)
    directory VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL,
    finished_at TIMESTAMP
);
