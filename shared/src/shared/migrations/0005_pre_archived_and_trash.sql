-- Lists of what is archived or in the trash are short beside the table; and the redirector's
-- preview page shows a link's title and age.

CREATE INDEX urls_archived ON urls (id) WHERE archived_at IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX urls_trash ON urls (id) WHERE deleted_at IS NOT NULL;

GRANT SELECT (title, created_at) ON urls TO shortwire_redirector;
