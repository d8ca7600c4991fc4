-- One account's pace, as the moment its next request may leave (GCRA: a token bucket in one number).
--
-- KEYS[1]  the account's key
-- KEYS[2]  where sends and questions share the pace: says for a while that something is to be sent
-- KEYS[3]  for questions of a shared pace: the moment before which no other may take a slot, while something is
-- ARGV[1]  microseconds between two requests
-- ARGV[2]  how many may leave at once after a pause (burst)
-- ARGV[3]  the longest wait, in microseconds, for which a slot is reserved
-- ARGV[4]  how many slots are wanted at most
-- ARGV[5]  how long after the first, in microseconds, the others may come
-- ARGV[6]  the longest wait, in microseconds, for which anybody reserves a slot of this account
--
-- Gives {1, wait, ...} when slots are reserved: the caller waits so long for each, then speaks.
-- Gives {0, wait} when none is: the caller comes back after so long.
--
-- Neither starves the other: while something is to be sent, questions have at most every second slot; and
-- they may reserve earlier than sends may, so that they have those.
--
-- The clock is Redis's own, so workers on many machines share it. A lost key costs at most one burst;
-- so does a clock that was put back, which would otherwise close the account for as long.
local interval = tonumber(ARGV[1])
local slack = interval * (tonumber(ARGV[2]) - 1)
local longest_wait = tonumber(ARGV[3])
local closely = tonumber(ARGV[5])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])

local function milliseconds(microseconds)
  return math.ceil(microseconds / 1000)
end

if #KEYS == 2 then
  redis.call('SET', KEYS[2], '1', 'PX', math.max(2000, milliseconds(4 * interval)))
elseif #KEYS == 3 and redis.call('EXISTS', KEYS[2]) == 1 then
  local from = tonumber(redis.call('GET', KEYS[3]) or now)
  -- Never further ahead than what one call can have taken: else the clock was put back.
  if from > now and from <= now + 2 * (slack + closely + 2 * interval) then
    return {0, from - now + longest_wait}
  end
end

local next_at = tonumber(redis.call('GET', KEYS[1]) or now)
-- No slot is ever reserved further ahead than this.
if next_at < now or next_at > now + slack + tonumber(ARGV[6]) + interval then
  next_at = now
end

local wait = next_at - slack - now
if wait < 0 then
  wait = 0
end
if wait > longest_wait then
  return {0, wait}
end

local slots = {1, wait}
local latest = wait + closely
next_at = next_at + interval
for _ = 2, tonumber(ARGV[4]) do
  local another = next_at - slack - now
  if another > latest then
    break
  end
  slots[#slots + 1] = another > 0 and another or 0
  next_at = next_at + interval
end
-- A key that has nothing more to say goes by itself.
redis.call('SET', KEYS[1], string.format('%.0f', next_at), 'PX', milliseconds(next_at - now) + 1000)
if #KEYS == 3 then
  local share = 2 * interval * (#slots - 1)
  redis.call('SET', KEYS[3], string.format('%.0f', now + share), 'PX', milliseconds(share) + 1)
end
return slots
