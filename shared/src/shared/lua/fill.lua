-- Store what a reader found in PostgreSQL, if nothing changed since it took its lease.
-- KEYS[1] entry u:{…}   KEYS[2] lease l:{…}
-- ARGV[1] lease token   ARGV[2] version   ARGV[3] payload   ARGV[4] life in ms, 0 for no end
-- Returns 1 stored, 0 the lease is gone, 2 a newer version is there.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
local stored = redis.call('GETRANGE', KEYS[1], 0, 20)
if stored ~= '' and tonumber(string.match(stored, '^%d+')) > tonumber(ARGV[2]) then return 2 end
if ARGV[4] == '0' then
  redis.call('SET', KEYS[1], ARGV[2] .. ':' .. ARGV[3])
else
  redis.call('SET', KEYS[1], ARGV[2] .. ':' .. ARGV[3], 'PX', ARGV[4])
end
return 1
