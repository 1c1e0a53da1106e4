"""The tables of the ledger; docs/pack.md describes them for readers of a pack."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS study (
    name TEXT PRIMARY KEY,
    definition TEXT NOT NULL,      -- the study file as parsed, defaults filled in, as JSON
    environment TEXT NOT NULL,     -- of the driver that created it, as JSON
    created REAL NOT NULL,         -- seconds since the Unix epoch, as all times here
    notes TEXT NOT NULL DEFAULT '{}'   -- JSON: what later commands remember
);
CREATE TABLE IF NOT EXISTS lock (
    study TEXT PRIMARY KEY,
    holder TEXT NOT NULL           -- JSON: pid, host, since, process start
);
CREATE TABLE IF NOT EXISTS trial (
    study TEXT NOT NULL REFERENCES study(name) ON DELETE CASCADE ON UPDATE CASCADE,
    number INTEGER NOT NULL,
    state TEXT NOT NULL,
    settings TEXT NOT NULL,        -- JSON
    parameters TEXT NOT NULL,      -- JSON: what the sampler chose
    memory TEXT NOT NULL,          -- JSON: attributes the sampler set on trial and study
    asked REAL NOT NULL,
    started REAL,
    finished REAL,
    attempts INTEGER NOT NULL DEFAULT 0,
    deaths INTEGER NOT NULL DEFAULT 0,     -- crashes of its workers; a killed driver is none
    worker TEXT,
    outcome TEXT NOT NULL DEFAULT '{}',    -- JSON: value, epoch, reason, pruner's attributes, error
    recorded_run TEXT,             -- MLflow run id
    recorded_epoch INTEGER NOT NULL DEFAULT 0,
    recorded_state TEXT,           -- the state whose end is completely in MLflow
    PRIMARY KEY (study, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS epoch (
    study TEXT NOT NULL, trial INTEGER NOT NULL, number INTEGER NOT NULL,
    metrics TEXT NOT NULL, digests TEXT NOT NULL, seconds REAL NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (study, trial, number),
    FOREIGN KEY (study, trial) REFERENCES trial(study, number) ON DELETE CASCADE ON UPDATE CASCADE
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS checkpoint (
    study TEXT NOT NULL, trial INTEGER NOT NULL, epoch INTEGER NOT NULL, state BLOB NOT NULL,
    PRIMARY KEY (study, trial),
    FOREIGN KEY (study, trial) REFERENCES trial(study, number) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE TABLE IF NOT EXISTS model (
    study TEXT NOT NULL, trial INTEGER NOT NULL, source TEXT NOT NULL, arrays BLOB NOT NULL,
    PRIMARY KEY (study, trial),
    FOREIGN KEY (study, trial) REFERENCES trial(study, number) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE TABLE IF NOT EXISTS file (           -- since version 3: files that a trial has left
    study TEXT NOT NULL, trial INTEGER NOT NULL, name TEXT NOT NULL, content BLOB NOT NULL,
    PRIMARY KEY (study, trial, name),
    FOREIGN KEY (study, trial) REFERENCES trial(study, number) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE TABLE IF NOT EXISTS attachment (     -- since version 2
    study TEXT NOT NULL REFERENCES study(name) ON DELETE CASCADE ON UPDATE CASCADE,
    name TEXT NOT NULL, content BLOB NOT NULL,
    PRIMARY KEY (study, name)
);
CREATE TABLE IF NOT EXISTS model_file (     -- since version 3; removed with the model
    study TEXT NOT NULL, trial INTEGER NOT NULL,
    path TEXT NOT NULL,            -- relative, with /
    format TEXT NOT NULL,          -- of the model, the same for all of its files
    content BLOB NOT NULL,
    PRIMARY KEY (study, trial, path),
    FOREIGN KEY (study, trial) REFERENCES model(study, trial) ON DELETE CASCADE ON UPDATE CASCADE
);
"""
VERSION = 3
"""Written to the file as SQLite's user version; every table that a later version adds is new."""
