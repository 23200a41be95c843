-- telemetry.db as derd left it in layout 1. Never changed; a new layout is a new file.
PRAGMA application_id = 1684370024;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE days (device INTEGER NOT NULL, at INTEGER NOT NULL, data BLOB NOT NULL,  PRIMARY KEY (device, at)) STRICT, WITHOUT ROWID;
CREATE TABLE decisions (  device INTEGER NOT NULL, at INTEGER NOT NULL, until INTEGER, duration INTEGER NOT NULL,  ended INTEGER NOT NULL, flags INTEGER NOT NULL,  active_power INTEGER, min_active_power INTEGER, max_active_power INTEGER,  set_id TEXT, set_priority INTEGER, set_created_by TEXT, set_reason TEXT,  min_id TEXT, min_priority INTEGER, min_created_by TEXT, min_reason TEXT,  max_id TEXT, max_priority INTEGER, max_created_by TEXT, max_reason TEXT,  command INTEGER NOT NULL, command_since INTEGER, sent_at INTEGER, confirmed_at INTEGER,  measured INTEGER NOT NULL, at_min INTEGER NOT NULL, at_max INTEGER NOT NULL,  outside INTEGER NOT NULL,  PRIMARY KEY (device, at)) STRICT, WITHOUT ROWID;
CREATE TABLE devices (  number INTEGER PRIMARY KEY,  id TEXT NOT NULL UNIQUE,  cluster_id TEXT NOT NULL,  seen INTEGER NOT NULL,  rated REAL,  minutes_until INTEGER NOT NULL,  quarters_until INTEGER NOT NULL,  days_until INTEGER NOT NULL,  meter BLOB) STRICT;
INSERT INTO "devices" VALUES(1,'7c9e6679-7425-40de-944b-e07fc1f90ae7','9b2d5b0a-3f0e-4b4e-9d69-0d2c6ef6c2aa',2,11000.0,1795795200000,1795795200000,1795737600000,NULL);
CREATE TABLE meta (name TEXT PRIMARY KEY NOT NULL, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "meta" VALUES('alive',1795795260000);
CREATE TABLE minutes (device INTEGER NOT NULL, at INTEGER NOT NULL, data BLOB NOT NULL,  PRIMARY KEY (device, at)) STRICT, WITHOUT ROWID;
CREATE TABLE quarters (device INTEGER NOT NULL, at INTEGER NOT NULL, data BLOB NOT NULL,  PRIMARY KEY (device, at)) STRICT, WITHOUT ROWID;
CREATE TABLE raw (device INTEGER NOT NULL, at INTEGER NOT NULL, data BLOB NOT NULL,  PRIMARY KEY (device, at)) STRICT, WITHOUT ROWID;
COMMIT;
