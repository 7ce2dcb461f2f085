-- The four roles, without login and without members: they are made once a cluster and are the same in every schema.
-- A login becomes a member of those that it needs (GRANT sluice_worker TO somebody); every command does SET ROLE to one of them.
DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['sluice_owner', 'sluice_admin', 'sluice_worker', 'sluice_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- another migration of the cluster made it at the same moment
            END;
        END IF;
    END LOOP;
    -- Who migrates acts as the owner.
    IF NOT pg_has_role(current_user, 'sluice_owner', 'MEMBER') THEN
        EXECUTE format('GRANT sluice_owner TO %I', current_user);
    END IF;
END
$$;
