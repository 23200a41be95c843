/* A store as the first release made it: layout 1. */
#ifndef DERD_TESTS_FIRST_LAYOUT_H
#define DERD_TESTS_FIRST_LAYOUT_H

#define ID_ONE "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
#define ID_TWO "6ba7b811-9dad-41d1-80b4-00c04fd430c8"

/* As the first release made it, with what a host had in it. */
static const char layout_1[] =
    "PRAGMA application_id = 1684370020; PRAGMA user_version = 1;"
    "CREATE TABLE constraints (id TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 36), account TEXT,"
    " cluster_id TEXT, device_id TEXT, priority INTEGER NOT NULL CHECK (priority BETWEEN 0 AND"
    " 2147483647), rank INTEGER NOT NULL CHECK (rank >= 0), active_power INTEGER, min_active_power"
    " INTEGER, max_active_power INTEGER, min_state_of_charge REAL, max_state_of_charge REAL,"
    " on_conflict TEXT NOT NULL CHECK (on_conflict IN ('discard', 'clamp')), exclusive INTEGER NOT"
    " NULL CHECK (exclusive IN (0, 1)), valid_at_ms INTEGER NOT NULL, invalid_at_ms INTEGER NOT"
    " NULL, valid_for_ms INTEGER NOT NULL CHECK (valid_for_ms >= 0), created_at_ms INTEGER NOT"
    " NULL, created_by TEXT NOT NULL, reason TEXT NOT NULL) STRICT;"
    "CREATE INDEX constraints_by_end ON constraints (invalid_at_ms);"
    "CREATE TABLE counters (name TEXT PRIMARY KEY NOT NULL, value INTEGER NOT NULL) STRICT,"
    " WITHOUT ROWID;"
    "CREATE TABLE texts (kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,"
    " PRIMARY KEY (kind, key)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE ids (kind TEXT NOT NULL, path TEXT NOT NULL, id TEXT NOT NULL UNIQUE CHECK"
    " (length(id) = 36), PRIMARY KEY (kind, path)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE tokens (id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL UNIQUE, account TEXT NOT"
    " NULL, max_priority INTEGER NOT NULL CHECK (max_priority BETWEEN 0 AND 2147483647),"
    " created_at_ms INTEGER NOT NULL, hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32)) STRICT;"
    "INSERT INTO constraints VALUES ('" ID_ONE "', NULL, NULL, '" ID_TWO "', 3000, 7, NULL, NULL,"
    " 4200, NULL, NULL, 'discard', 0, 1700000000000, 4000000000000, 0, 1700000000000, 'ems',"
    " 'grid');"
    "INSERT INTO counters VALUES ('rank', 9);"
    "INSERT INTO texts VALUES ('clock', 'floor', '1700000000000');"
    "INSERT INTO ids VALUES ('device', 'home/wallbox', '" ID_TWO "');"
    "INSERT INTO tokens VALUES ('aaaaaaaaaaaa', 'phone', 'owner', 1999, 1700000000000, "
    "zeroblob(32)),"
    " ('bbbbbbbbbbbb', 'ems', 'Next door', 2999, 1700000000001,"
    "  CAST(x'0101010101010101010101010101010101010101010101010101010101010101' AS BLOB));";

#endif
