-- What is recorded about runs. Every statement may be repeated; `etl_lib/metrics/schema.py` runs them.
CREATE SCHEMA IF NOT EXISTS etl;

-- Digests of the models that the tables were made from; see `migrate_if_needed`.
CREATE TABLE IF NOT EXISTS etl.migration (digest text PRIMARY KEY);

-- One row per arrival of a delivery; delivery_seq = yyyymmdd * 1,000,000 + n orders them.
CREATE TABLE IF NOT EXISTS etl.delivery (
    client_id     text        NOT NULL,
    delivery_seq  bigint      NOT NULL,
    delivery_id   text        NOT NULL,
    delivered_on  date        NOT NULL,
    received_at   timestamptz NOT NULL,
    sent_at       timestamptz, -- when the same files were last put there again
    registered_at timestamptz NOT NULL DEFAULT now(),
    files         jsonb       NOT NULL DEFAULT '[]',
    PRIMARY KEY (client_id, delivery_seq)
);

CREATE TABLE IF NOT EXISTS etl.run (
    run_seq      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    client_id    text        NOT NULL,
    dag_id       text        NOT NULL,
    run_id       text        NOT NULL,
    environment  text        NOT NULL,
    kind         text        NOT NULL DEFAULT 'load', -- or undo, reconcile, test
    status       text        NOT NULL,
    delivery_seq bigint,
    dry_run      boolean     NOT NULL DEFAULT false,
    started_at   timestamptz NOT NULL DEFAULT now(),
    ended_at     timestamptz,
    expected_at  timestamptz, -- a run that waits for files after it is shown as late
    sentence     text        NOT NULL DEFAULT '',
    -- sums over etl.run_count, written with it: a list of 500 clients reads nothing else
    read         bigint,
    inserted     bigint,
    updated      bigint,
    unchanged    bigint,
    deleted      bigint,
    rejected     bigint,
    duplicates   bigint,
    filtered     bigint,
    UNIQUE (dag_id, run_id)
);
CREATE INDEX IF NOT EXISTS run_client ON etl.run (client_id, started_at DESC);
CREATE INDEX IF NOT EXISTS run_started ON etl.run (started_at DESC);
CREATE INDEX IF NOT EXISTS run_at_work ON etl.run (started_at) WHERE ended_at IS NULL;

CREATE TABLE IF NOT EXISTS etl.run_stage (
    run_seq    bigint      NOT NULL REFERENCES etl.run ON DELETE CASCADE,
    stage      text        NOT NULL,
    status     text        NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at   timestamptz,
    what       text        NOT NULL DEFAULT '',
    rows       bigint      NOT NULL DEFAULT 0,
    rows_total bigint,
    PRIMARY KEY (run_seq, stage)
);

CREATE TABLE IF NOT EXISTS etl.run_message (
    message_seq bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_seq     bigint      NOT NULL REFERENCES etl.run ON DELETE CASCADE,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    stage       text        NOT NULL,
    code        text        NOT NULL,
    text        text        NOT NULL,
    place       text        NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS run_message_run ON etl.run_message (run_seq);

-- What the database did with each feed's rows of an entity; the sum is checked by the table itself.
CREATE TABLE IF NOT EXISTS etl.run_count (
    run_seq            bigint NOT NULL REFERENCES etl.run ON DELETE CASCADE,
    feed               text   NOT NULL,
    entity             text   NOT NULL,
    read               bigint NOT NULL,
    inserted           bigint NOT NULL,
    updated            bigint NOT NULL,
    unchanged          bigint NOT NULL,
    deleted_by_row     bigint NOT NULL,
    rejected           bigint NOT NULL,
    duplicates         bigint NOT NULL,
    filtered           bigint NOT NULL,
    deleted_by_absence bigint NOT NULL,
    restored           bigint NOT NULL,
    unresolved         bigint NOT NULL,
    PRIMARY KEY (run_seq, feed, entity),
    CONSTRAINT every_row_is_accounted_for CHECK (
        read = inserted + updated + unchanged + deleted_by_row + rejected + duplicates + filtered)
);

-- How many updated rows of an entity differ in which column.
CREATE TABLE IF NOT EXISTS etl.run_column (
    run_seq  bigint NOT NULL REFERENCES etl.run ON DELETE CASCADE,
    entity   text   NOT NULL,
    "column" text   NOT NULL,
    rows     bigint NOT NULL,
    PRIMARY KEY (run_seq, entity, "column")
);

-- Exactly once: a run that has a row here has been committed; written in the load's transaction.
CREATE SEQUENCE IF NOT EXISTS etl.change_seq;
CREATE TABLE IF NOT EXISTS etl.load (
    run_seq      bigint      PRIMARY KEY REFERENCES etl.run,
    client_id    text        NOT NULL,
    delivery_seq bigint      NOT NULL,
    delivery_id  text        NOT NULL,
    row_contract text        NOT NULL,
    change_seq   bigint      NOT NULL UNIQUE,
    status       text        NOT NULL,
    samples      jsonb       NOT NULL DEFAULT '[]', -- a few changed rows: masked keys, columns
    loaded_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at   timestamptz NOT NULL DEFAULT now(), -- the instant of its before-images
    content_all_full boolean NOT NULL DEFAULT true,
    only_rejects boolean     NOT NULL DEFAULT false, -- the rejected rows of a run alone: no delivery
    -- an undo: the run that it puts back; of a run that was put back: by which undo, and what it said before
    undoes       bigint      REFERENCES etl.run,
    undone_by    bigint      REFERENCES etl.run,
    said         text        NOT NULL DEFAULT ''
);
ALTER TABLE etl.load ADD COLUMN IF NOT EXISTS only_rejects boolean NOT NULL DEFAULT false; -- older databases
UPDATE etl.load SET only_rejects = true WHERE row_contract LIKE '% rejected rows only' AND NOT only_rejects;
CREATE INDEX IF NOT EXISTS load_client ON etl.load (client_id, change_seq);
-- The loads of deliveries that stand: no undo, not undone, and not the rejected rows of a run alone.
CREATE OR REPLACE VIEW etl.delivery_loaded AS
SELECT run_seq, client_id, delivery_seq, delivery_id, change_seq, content_all_full, loaded_at FROM etl.load
WHERE undoes IS NULL AND undone_by IS NULL AND NOT only_rejects;

-- The delivery that the target shows now, per client and per feed. An empty row_contract switches change
-- detection off: the same delivery is then loaded again.
CREATE TABLE IF NOT EXISTS etl.client_state (
    client_id        text        PRIMARY KEY,
    delivery_seq     bigint      NOT NULL,
    delivery_id      text        NOT NULL,
    delivered_on     date        NOT NULL,
    row_contract     text        NOT NULL,
    content_all_full boolean     NOT NULL,
    loaded_at        timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE IF NOT EXISTS etl.feed_state (
    client_id    text   NOT NULL,
    feed         text   NOT NULL,
    delivery_seq bigint NOT NULL,
    rows_read    bigint NOT NULL,
    PRIMARY KEY (client_id, feed)
);

-- The rows of each feed and entity as the client's last load has left them; see manifest.Snapshot. Any other
-- change of the target takes them away: the next delivery then goes through whole.
CREATE TABLE IF NOT EXISTS etl.row_snapshot (
    client_id text NOT NULL,
    feed      text NOT NULL,
    entity    text NOT NULL,
    key       text NOT NULL,
    sha256    text NOT NULL,
    basis     text NOT NULL,
    PRIMARY KEY (client_id, feed, entity)
);

-- A delivery over a limit: who decides, by when, and what was decided about which plan.
-- status: open, approved, refused, lapsed, superseded, ended (its task was ended in Airflow).
-- plan = what it would change: counts, samples with masked keys; plan_digest: of all
-- that tells it from another plan: mapping, counts, limits, and what the rows that change hold afterwards.
CREATE TABLE IF NOT EXISTS etl.hold (
    hold_seq     bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    client_id    text        NOT NULL,
    run_seq      bigint      NOT NULL REFERENCES etl.run,
    delivery_seq bigint      NOT NULL,
    delivery_id  text        NOT NULL,
    reasons      jsonb       NOT NULL,
    plan         jsonb       NOT NULL,
    plan_digest  text        NOT NULL,
    status       text        NOT NULL DEFAULT 'open',
    opened_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    lapses_at    timestamptz NOT NULL,
    decided_at   timestamptz,
    decided_by   text,
    comment      text,
    -- what Airflow's form asks, and whether that form shows it: a later question of one run is shown by
    -- the scheduler, since Airflow keeps the text of the first
    headline     text        NOT NULL DEFAULT '',
    body         text        NOT NULL DEFAULT '',
    is_shown     boolean     NOT NULL DEFAULT true
);
CREATE INDEX IF NOT EXISTS hold_open ON etl.hold (client_id) WHERE status = 'open';
CREATE INDEX IF NOT EXISTS hold_run ON etl.hold (run_seq);
CREATE INDEX IF NOT EXISTS hold_delivery ON etl.hold (client_id, delivery_id);

-- What a dry run would have changed: counts, samples with masked keys, limits that it would exceed.
CREATE TABLE IF NOT EXISTS etl.dry_run (
    run_seq bigint PRIMARY KEY REFERENCES etl.run ON DELETE CASCADE,
    plan    jsonb  NOT NULL
);

-- Before-images of updated and deleted rows, by month so that expiry is a DROP; columns: which differ.
-- before is null where an undo brought a row back that was not there. history_seq: order within a run.
CREATE TABLE IF NOT EXISTS etl.history (
    history_seq bigint     GENERATED ALWAYS AS IDENTITY,
    client_id  text        NOT NULL,
    entity     text        NOT NULL,
    key        text        NOT NULL,
    run_seq    bigint      NOT NULL,
    feed       text        NOT NULL,
    action     text        NOT NULL,
    columns    text[]      NOT NULL DEFAULT '{}',
    changed_at timestamptz NOT NULL DEFAULT now(),
    before     jsonb
) PARTITION BY RANGE (changed_at);
CREATE INDEX IF NOT EXISTS history_run ON etl.history (run_seq);
CREATE INDEX IF NOT EXISTS history_key ON etl.history (client_id, key);

-- The guarded place: which rows were kept out and why; keys, never other values.
CREATE TABLE IF NOT EXISTS etl.rejected_row (
    run_seq   bigint NOT NULL REFERENCES etl.run ON DELETE CASCADE,
    client_id text   NOT NULL,
    feed      text   NOT NULL,
    entity    text,
    file      text   NOT NULL,
    line      bigint NOT NULL,
    key       text,
    "column"  text,
    code      text   NOT NULL
);
CREATE INDEX IF NOT EXISTS rejected_row_run ON etl.rejected_row (run_seq);
CREATE INDEX IF NOT EXISTS rejected_row_key ON etl.rejected_row (client_id, key);

-- What people did: kind is one of metrics/acts.py; until_at: of a snooze; run_seq: which run it is about.
CREATE TABLE IF NOT EXISTS etl.act (
    act_seq   bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    client_id text        NOT NULL,
    run_seq   bigint      REFERENCES etl.run ON DELETE CASCADE,
    kind      text        NOT NULL,
    by        text        NOT NULL,
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    text      text        NOT NULL DEFAULT '',
    until_at  timestamptz,
    about     text -- what is done once: a second act of the client about the same is none
);
ALTER TABLE etl.act ADD COLUMN IF NOT EXISTS about text; -- older databases
CREATE UNIQUE INDEX IF NOT EXISTS act_once ON etl.act (client_id, about);
CREATE INDEX IF NOT EXISTS act_client ON etl.act (client_id, at DESC);

-- Acts on many clients at once: what was ordered and shown to whom, and what became of each item of it.
-- outcome: done, failed, left_out; null: not yet. An item is one client's run, hold or freeze.
CREATE TABLE IF NOT EXISTS etl.many (
    token      text        PRIMARY KEY,
    ordered    jsonb       NOT NULL,
    shown_by   text        NOT NULL,
    shown_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    applied_by text,
    applied_at timestamptz
);
CREATE TABLE IF NOT EXISTS etl.many_item (
    token     text        NOT NULL REFERENCES etl.many ON DELETE CASCADE,
    place     integer     NOT NULL,
    client_id text        NOT NULL,
    item      jsonb       NOT NULL,
    outcome   text,
    said      text        NOT NULL DEFAULT '',
    ended_at  timestamptz,
    PRIMARY KEY (token, place)
);

-- Clients for which nothing is loaded until somebody ends the freeze; what was is in etl.act.
CREATE TABLE IF NOT EXISTS etl.freeze (
    client_id text        PRIMARY KEY,
    reason    text        NOT NULL,
    frozen_by text        NOT NULL,
    frozen_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
REVOKE ALL ON etl.rejected_row, etl.history FROM PUBLIC;
