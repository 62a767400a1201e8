-- Put a committed change into the cache: replace an older entry in place, void any lease.
-- Never creates an entry (a cold link stays cold) and never replaces a newer one.
-- KEYS[1] entry u:{…}   KEYS[2] lease l:{…}
-- ARGV[1] version       ARGV[2] payload
-- Returns 1 replaced, 0 not cached, 2 an equal or newer version is there.
redis.call('DEL', KEYS[2])
local stored = redis.call('GETRANGE', KEYS[1], 0, 20)
if stored == '' then return 0 end
if tonumber(string.match(stored, '^%d+')) >= tonumber(ARGV[1]) then return 2 end
redis.call('SET', KEYS[1], ARGV[1] .. ':' .. ARGV[2])
return 1
