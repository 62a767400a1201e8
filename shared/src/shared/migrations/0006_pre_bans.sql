-- Hosts that no link may lead to, and codes that no link may have, as administrators say.

CREATE TABLE banned_hosts (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    host       text COLLATE "C" NOT NULL UNIQUE CHECK (char_length(host) BETWEEN 1 AND 253),
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE banned_hosts IS 'In ASCII and lower case; whatever ends in one is banned, too.';

CREATE TABLE reserved_codes (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    short_code text COLLATE "C" NOT NULL UNIQUE CHECK (short_code = lower(short_code)),
    created_at timestamptz NOT NULL DEFAULT now()
);

GRANT SELECT, INSERT, UPDATE, DELETE ON banned_hosts, reserved_codes TO shortwire_management;
