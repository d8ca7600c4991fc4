-- Four roles, each with the rights its processes need and no more. Run it in the campaigns database as a
-- superuser, before the first `campaigns migrate` and again after it (what is granted on tables needs the
-- tables); any number of times.
--
--   psql --dbname campaigns --file deploy/roles.sql
--   ALTER ROLE campaigns_migrate PASSWORD '…'; and so for the other three
--
--   campaigns_migrate   campaigns migrate: owns the schema
--   campaigns_worker    celery worker, and the commands of operators
--   campaigns_api       campaigns web --serve api: what a worker may, but it changes no scopes of keys and no audit
--   campaigns_web       campaigns web --serve callbacks, which faces the Internet: may store a receipt and look whether it is well
--
-- The tables are in a schema of their own, which each role finds by its search_path. Where they are in
-- `public` already, write public for campaigns in this file, and have campaigns_migrate own the tables.

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['campaigns_migrate', 'campaigns_worker', 'campaigns_api', 'campaigns_web'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', name);
        END IF;
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), name);
        EXECUTE format('ALTER ROLE %I IN DATABASE %I SET search_path = campaigns', name, current_database());
        -- Numbers and texts are parameters of our statements: the server's log must not hold them.
        EXECUTE format('ALTER ROLE %I SET log_parameter_max_length = 0', name);
        EXECUTE format('ALTER ROLE %I SET log_parameter_max_length_on_error = 0', name);
        EXECUTE format('ALTER ROLE %I SET log_error_verbosity = terse', name);
    END LOOP;
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    -- A submission streams into a temporary table.
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO campaigns_worker, campaigns_api', current_database());
END $$;

CREATE SCHEMA IF NOT EXISTS campaigns AUTHORIZATION campaigns_migrate;
GRANT USAGE ON SCHEMA campaigns TO campaigns_worker, campaigns_api, campaigns_web;

-- Of the tables there are, and of those that later migrations make.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA campaigns TO campaigns_worker, campaigns_api;
ALTER DEFAULT PRIVILEGES FOR ROLE campaigns_migrate IN SCHEMA campaigns
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO campaigns_worker, campaigns_api;

DO $$
BEGIN
    IF to_regclass('campaigns.api_key') IS NOT NULL THEN
        REVOKE INSERT, UPDATE, DELETE ON campaigns.alembic_version FROM campaigns_worker, campaigns_api;
        -- The audit is append only for everybody, by its trigger.
        -- It makes and revokes keys (POST and DELETE /v1/keys); what a key may do is never changed.
        REVOKE UPDATE, DELETE ON campaigns.api_key FROM campaigns_api;
        GRANT UPDATE (last_used_at, revoked_at) ON campaigns.api_key TO campaigns_api;
        GRANT SELECT ON campaigns.alembic_version, campaigns.pulse TO campaigns_web;
        GRANT SELECT, INSERT ON campaigns.waiting_receipt TO campaigns_web;
    END IF;
END $$;
