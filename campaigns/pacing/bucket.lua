-- One account's pace, as the moment its next request may leave (GCRA: a token bucket in one number).
--
-- KEYS[1]  the account's key
-- ARGV[1]  microseconds between two requests
-- ARGV[2]  how many may leave at once after a pause (burst)
-- ARGV[3]  the longest wait, in microseconds, for which a place is reserved
-- ARGV[4]  how many places are wanted at most
-- ARGV[5]  how long after the first, in microseconds, the others may come
--
-- Gives {1, wait, ...} when places are reserved: the caller waits so long for each, then speaks.
-- Gives {0, wait} when none is: the caller comes back after so long.
--
-- The clock is Redis's own, so workers on many machines share it. A lost key costs at most one burst;
-- so does a clock that was put back, which would otherwise close the account for as long.
local interval = tonumber(ARGV[1])
local slack = interval * (tonumber(ARGV[2]) - 1)
local longest_wait = tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])

local next_at = tonumber(redis.call('GET', KEYS[1]) or now)
-- No place is ever reserved further ahead than this.
if next_at < now or next_at > now + slack + longest_wait + tonumber(ARGV[5]) + interval then
  next_at = now
end

local wait = next_at - slack - now
if wait < 0 then
  wait = 0
end
if wait > longest_wait then
  return {0, wait}
end

local places = {1, wait}
local latest = wait + tonumber(ARGV[5])
next_at = next_at + interval
for _ = 2, tonumber(ARGV[4]) do
  local another = next_at - slack - now
  if another > latest then
    break
  end
  places[#places + 1] = another > 0 and another or 0
  next_at = next_at + interval
end
-- A key that has nothing more to say goes by itself.
redis.call('SET', KEYS[1], string.format('%.0f', next_at), 'PX', math.ceil((next_at - now) / 1000) + 1000)
return places
