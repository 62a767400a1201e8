-- Finding links: by a part of their text, by tag, by what is set of them, and in other orders
-- than that of ids.

-- What `q` is searched in. No part of it holds a line feed, so nothing is found across two parts.
CREATE FUNCTION link_search_text(short_code text, original_url text, title text, tags text[])
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN lower(concat_ws(E'\n', short_code, original_url, title, array_to_string(tags, E'\n'))
             COLLATE "pg_c_utf8");

-- The trigrams of a text as numbers, ten bits of each code point: pg_trgm is not everywhere, and
-- an array of integers needs no extension. Two trigrams may share a number, so what an index
-- finds by them has to be looked at. The cost is linear in the length of the text.
CREATE FUNCTION trigrams(searched text) RETURNS integer[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 1000 AS $$
DECLARE
    line_feed CONSTANT integer := 10;
    symbol text;
    before integer := line_feed;
    middle integer := line_feed;
    latest integer;
    found  integer[] := '{}';
BEGIN
    FOREACH symbol IN ARRAY string_to_array(searched, NULL) LOOP
        latest := ascii(symbol) & 1023;
        IF line_feed NOT IN (before, middle, latest) THEN
            found := found || ((before << 20) | (middle << 10) | latest);
        END IF;
        before := middle;
        middle := latest;
    END LOOP;
    RETURN found;
END
$$;

-- Not partial: the planner uses statistics of whole indexes only, and without them it would take
-- this one also for what nearly every link has.
CREATE INDEX urls_search ON urls
    USING gin (trigrams(link_search_text(short_code, original_url, title, tags)));

-- Titles in an order that no library update changes; untitled links are first.
CREATE FUNCTION link_sort_title(title text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN left(lower(coalesce(title, '') COLLATE "pg_c_utf8"), 255);

CREATE INDEX urls_by_code ON urls (short_code, id) WHERE deleted_at IS NULL;
CREATE INDEX urls_by_creation ON urls (created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX urls_by_title ON urls ((link_sort_title(title) COLLATE "C"), id) WHERE deleted_at IS NULL;
CREATE INDEX urls_by_update ON urls (updated_at, id) WHERE deleted_at IS NULL;

CREATE INDEX urls_tags ON urls USING gin (tags) WHERE deleted_at IS NULL AND tags <> '{}';
CREATE INDEX urls_expiring ON urls (expires_at)
    WHERE deleted_at IS NULL AND expires_at IS NOT NULL;
CREATE INDEX urls_limited ON urls (id) WHERE deleted_at IS NULL AND max_clicks IS NOT NULL;
CREATE INDEX urls_protected ON urls (id) WHERE deleted_at IS NULL AND password_hash IS NOT NULL;
CREATE INDEX urls_ruled ON urls (id) WHERE deleted_at IS NULL AND rules IS NOT NULL;
CREATE INDEX urls_tagged ON urls (user_id, id) WHERE deleted_at IS NULL AND tags <> '{}';
