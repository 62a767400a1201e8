-- Takes from a bucket that fills steadily: the generic cell rate algorithm (ITU-T I.371, annex A).
-- Kept is one number, the time at which the bucket is full again, by Redis' own clock.
--
-- KEYS[1]  the bucket
-- ARGV[1]  microseconds after which one more may be taken
-- ARGV[2]  how many a full bucket holds
-- ARGV[3]  how many to take; with 0 it is only asked whether one is left
-- Returns  1 or 0: taken or not; how many are left; microseconds until one is left; and until full.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval = tonumber(ARGV[1])
local capacity = ARGV[2] * interval
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local left = capacity - (full_at - now)
if left < interval then
  return {0, 0, interval - left, full_at - now}
end
full_at = full_at + ARGV[3] * interval
if full_at > now then
  redis.call('SET', KEYS[1], string.format('%.0f', full_at),
             'PX', math.ceil((full_at - now) / 1000))
end
return {1, math.floor((capacity - (full_at - now)) / interval), 0, full_at - now}
