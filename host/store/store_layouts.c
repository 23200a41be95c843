/* The layouts of derd.db, one text per step; the number of steps done is the file's user_version. A
 * step that was released never changes; what comes new is a new step. */
#include "store/store_internal.h"

const char *const store_layouts[STORE_SCHEMA] = {
    "PRAGMA application_id = 1684370020;" /* STORE_APPLICATION_ID */
    "CREATE TABLE constraints ("
    "  id TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 36),"
    "  account TEXT,"
    "  cluster_id TEXT,"
    "  device_id TEXT,"
    "  priority INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 2147483647),"
    "  rank INTEGER NOT NULL CHECK (rank >= 0),"
    "  active_power INTEGER," /* W; NULL: no opinion, here and in the four after it */
    "  min_active_power INTEGER,"
    "  max_active_power INTEGER,"
    "  min_state_of_charge REAL," /* % */
    "  max_state_of_charge REAL,"
    "  on_conflict TEXT NOT NULL CHECK (on_conflict IN ('discard', 'clamp')),"
    "  exclusive INTEGER NOT NULL CHECK (exclusive IN (0, 1)),"
    "  valid_at_ms INTEGER NOT NULL," /* since 1970 UTC */
    "  invalid_at_ms INTEGER NOT NULL,"
    "  valid_for_ms INTEGER NOT NULL CHECK (valid_for_ms >= 0),"
    "  created_at_ms INTEGER NOT NULL,"
    "  created_by TEXT NOT NULL,"
    "  reason TEXT NOT NULL"
    ") STRICT;"
    "CREATE INDEX constraints_by_end ON constraints (invalid_at_ms);"
    "CREATE TABLE counters ("
    "  name TEXT PRIMARY KEY NOT NULL,"
    "  value INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE texts ("
    "  kind TEXT NOT NULL,"
    "  key TEXT NOT NULL,"
    "  value TEXT NOT NULL,"
    "  PRIMARY KEY (kind, key)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE ids ("
    "  kind TEXT NOT NULL,"
    "  path TEXT NOT NULL,"
    "  id TEXT NOT NULL UNIQUE CHECK (length(id) = 36),"
    "  PRIMARY KEY (kind, path)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE tokens ("
    "  id TEXT PRIMARY KEY NOT NULL,"
    "  name TEXT NOT NULL UNIQUE,"
    "  account TEXT NOT NULL,"
    "  max_priority INTEGER NOT NULL CHECK (max_priority BETWEEN 0 AND 2147483647),"
    "  created_at_ms INTEGER NOT NULL,"
    "  hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32)"
    ") STRICT;",
    /* constraints on clusters */
    "ALTER TABLE constraints ADD COLUMN scope TEXT;"          /* with cluster_id: what it counts */
    "ALTER TABLE constraints ADD COLUMN max_current_l1 REAL;" /* A */
    "ALTER TABLE constraints ADD COLUMN max_current_l2 REAL;"
    "ALTER TABLE constraints ADD COLUMN max_current_l3 REAL;",
    /* Accounts, and what the API makes. The accounts of tokens are filled in at opening. A token's
     * name is its account's business. */
    "CREATE TABLE accounts ("
    "  id TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 36),"
    "  key TEXT NOT NULL UNIQUE,"
    "  name TEXT NOT NULL,"
    "  parent TEXT NOT NULL," /* key; '' for the root */
    "  revision INTEGER NOT NULL CHECK (revision > 0),"
    "  created_at_ms INTEGER NOT NULL"
    ") STRICT;"
    "CREATE TABLE clusters ("
    "  id TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 36),"
    "  key TEXT NOT NULL UNIQUE,"
    "  account TEXT NOT NULL,"
    "  parent_id TEXT NOT NULL," /* '' for none */
    "  entry TEXT NOT NULL,"
    "  revision INTEGER NOT NULL CHECK (revision > 0),"
    "  created_at_ms INTEGER NOT NULL"
    ") STRICT;"
    "CREATE TABLE devices ("
    "  id TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 36),"
    "  key TEXT NOT NULL,"
    "  cluster_id TEXT NOT NULL,"
    "  entry TEXT NOT NULL,"
    "  revision INTEGER NOT NULL CHECK (revision > 0),"
    "  created_at_ms INTEGER NOT NULL,"
    "  UNIQUE (cluster_id, key)"
    ") STRICT;"
    "CREATE TABLE tokens_of_accounts ("
    "  id TEXT PRIMARY KEY NOT NULL,"
    "  name TEXT NOT NULL,"
    "  account TEXT NOT NULL,"
    "  max_priority INTEGER NOT NULL CHECK (max_priority BETWEEN 0 AND 2147483647),"
    "  created_at_ms INTEGER NOT NULL,"
    "  hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),"
    "  UNIQUE (account, name)"
    ") STRICT;"
    "INSERT INTO tokens_of_accounts (id, name, account, max_priority, created_at_ms, hash)"
    " SELECT id, name, account, max_priority, created_at_ms, hash FROM tokens;"
    "DROP TABLE tokens;"
    "ALTER TABLE tokens_of_accounts RENAME TO tokens;",
    /* Answers to requests with a key of their own. */
    "CREATE TABLE receipts ("
    "  owner TEXT NOT NULL,"
    "  key TEXT NOT NULL,"
    "  fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32),"
    "  created_at_ms INTEGER NOT NULL,"
    "  bytes INTEGER NOT NULL," /* of the body */
    "  status INTEGER NOT NULL,"
    "  location TEXT NOT NULL,"
    "  body TEXT," /* NULL: not kept (yet) */
    "  PRIMARY KEY (owner, key)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX receipts_by_age ON receipts (owner, created_at_ms, bytes);",
    /* webhooks */
    "CREATE TABLE webhooks ("
    "  id TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 36),"
    "  account TEXT NOT NULL,"  /* key */
    "  document TEXT NOT NULL," /* JSON */
    "  dropped INTEGER NOT NULL DEFAULT 0,"
    "  created_at_ms INTEGER NOT NULL"
    ") STRICT;"
    "CREATE TABLE deliveries ("
    "  number INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  webhook_id TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,"
    "  message_id TEXT NOT NULL,"
    "  type TEXT NOT NULL,"
    "  body TEXT NOT NULL,"                                /* '' once it ended */
    "  state INTEGER NOT NULL CHECK (state IN (0, 1, 2))," /* waiting, delivered, failed */
    "  queued_at_ms INTEGER NOT NULL,"
    "  next_at_ms INTEGER NOT NULL,"
    "  last_at_ms INTEGER NOT NULL DEFAULT 0,"
    "  attempts INTEGER NOT NULL,"
    "  status INTEGER NOT NULL DEFAULT 0,"
    "  duration_ms INTEGER NOT NULL DEFAULT 0,"
    "  error TEXT NOT NULL DEFAULT ''"
    ") STRICT;"
    "CREATE INDEX deliveries_by_state ON deliveries (webhook_id, state, number);",
    /* What a token may do. Those of before may go on with what they could. */
    "ALTER TABLE tokens ADD COLUMN scopes TEXT NOT NULL DEFAULT '';" /* words, parted by commas */
    "ALTER TABLE tokens ADD COLUMN expires_at_ms INTEGER NOT NULL DEFAULT 0;"   /* 0: never */
    "ALTER TABLE tokens ADD COLUMN last_used_at_ms INTEGER NOT NULL DEFAULT 0;" /* 0: never */
    "ALTER TABLE tokens ADD COLUMN clusters TEXT NOT NULL DEFAULT '';" /* ids, by commas; '': all */
    "UPDATE tokens SET scopes = CASE WHEN max_priority >= 1000"
    " THEN 'read,control,configure,scripts,admin' ELSE 'read,control' END;",
    /* the audit log: append-only; the oldest goes, when there are too many of its class */
    "CREATE TABLE audit ("
    "  number INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  class INTEGER NOT NULL CHECK (class IN (0, 1))," /* constraints: 1 */
    "  at_ms INTEGER NOT NULL,"
    "  who TEXT NOT NULL,"
    "  who_id TEXT NOT NULL,"
    "  who_name TEXT NOT NULL,"
    "  account TEXT NOT NULL,"
    "  origin TEXT NOT NULL,"
    "  request_id TEXT NOT NULL,"
    "  action TEXT NOT NULL,"
    "  status INTEGER NOT NULL,"
    "  target_kind TEXT NOT NULL,"
    "  target_id TEXT NOT NULL,"
    "  target_name TEXT NOT NULL,"
    "  cluster_id TEXT NOT NULL,"
    "  device_id TEXT NOT NULL,"
    "  owner TEXT NOT NULL,"
    "  durable INTEGER NOT NULL CHECK (durable IN (0, 1)),"
    "  bytes INTEGER NOT NULL,"
    "  value_before TEXT,"
    "  value_after TEXT"
    ") STRICT;"
    "CREATE INDEX audit_by_class ON audit (class);"
    "CREATE INDEX audit_by_time ON audit (at_ms);"
    "CREATE TABLE audit_state ("
    "  class INTEGER PRIMARY KEY,"
    "  rows INTEGER NOT NULL,"
    "  bytes INTEGER NOT NULL,"
    "  max_rows INTEGER NOT NULL,"
    "  max_bytes INTEGER NOT NULL,"
    "  complete_from_ms INTEGER NOT NULL"
    ") STRICT;"
    "INSERT INTO audit_state SELECT value, 0, 0, 0, 0, strftime('%s', 'now') * 1000"
    " FROM json_each('[0, 1]');"
    "CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit BEGIN"
    "  SELECT raise(ABORT, 'the audit log is append-only'); END;"
    "CREATE TRIGGER audit_is_never_replaced BEFORE INSERT ON audit"
    "  WHEN EXISTS (SELECT 1 FROM audit WHERE number = NEW.number) BEGIN"
    "  SELECT raise(ABORT, 'the audit log is append-only'); END;"
    "CREATE TRIGGER audit_goes_from_its_end BEFORE DELETE ON audit"
    "  WHEN OLD.number <> (SELECT min(number) FROM audit WHERE class = OLD.class)"
    "  OR NOT EXISTS (SELECT 1 FROM audit_state WHERE class = OLD.class"
    "   AND (rows > max_rows OR bytes > max_bytes)) BEGIN"
    "  SELECT raise(ABORT, 'only the oldest row goes, when there are too many'); END;"
    "CREATE TRIGGER audit_is_counted AFTER INSERT ON audit BEGIN"
    "  UPDATE audit_state SET rows = rows + 1, bytes = bytes + NEW.bytes"
    "  WHERE class = NEW.class; END;"
    "CREATE TRIGGER audit_is_counted_down AFTER DELETE ON audit BEGIN"
    "  UPDATE audit_state SET rows = rows - 1, bytes = bytes - OLD.bytes,"
    "  complete_from_ms = max(complete_from_ms, OLD.at_ms + 1) WHERE class = OLD.class; END;",
    /* passwords of people */
    "CREATE TABLE passwords ("
    "  account TEXT PRIMARY KEY NOT NULL," /* key */
    "  hash TEXT NOT NULL,"
    "  mark BLOB NOT NULL CHECK (length(mark) = 32),"
    "  scopes TEXT NOT NULL," /* words, parted by commas */
    "  max_priority INTEGER NOT NULL CHECK (max_priority BETWEEN 0 AND 2147483647),"
    "  set_at_ms INTEGER NOT NULL"
    ") STRICT;",
};

_Static_assert(STORE_APPLICATION_ID == 1684370020, "as written in the first step");
