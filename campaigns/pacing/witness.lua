-- What left, by campaign: the byte at 100 x (batch number - 1) + position is the last attempt that was let go.
--
-- KEYS[1]      where the answer to this call is kept for a minute: a call repeated after a lost answer gets the same
-- KEYS[i + 1]  the marks of the campaign of the i-th request; a campaign may stand here several times
-- ARGV[1]  'mark' or 'take back'
-- ARGV[2]  for how many milliseconds from now marks are kept
-- then for each request two: where its bytes begin; and for each message from there on the attempt that is to
-- leave, or to be taken back, a byte each, 0 for one that this is not about
--
-- mark: an attempt that was marked before, or an earlier one than was, must not leave: for each request these are
-- given, two bytes each: how far from the begin, and the attempt that left last. The others are marked, and may.
-- take back: certainly not taken after all; where the mark is of just this attempt, it is one lower again.
--
-- A byte counts to 255. What is attempted more often is marked as the 255th attempt, and passes always.
local TOP = 255
local ANSWER_KEPT_MILLISECONDS = 60000
local takes_back = ARGV[1] == 'take back'
local seen = {}

local function merge(before, asked)
  local after, seen_here, is_changed = {before:byte(1, -1)}, {}, false
  for at = 1, #asked do
    local mark, attempt = after[at] or 0, asked:byte(at)
    after[at] = mark
    if attempt > 0 then
      if takes_back then
        if mark == attempt then
          after[at], is_changed = attempt - 1, true
        end
      elseif mark < attempt or attempt == TOP then
        after[at], is_changed = attempt, true
      else
        seen_here[#seen_here + 1] = string.char(at - 1, mark)
      end
    end
  end
  return is_changed and string.char(unpack(after)), table.concat(seen_here)
end

local answered = redis.call('GET', KEYS[1])
if answered then
  return cmsgpack.unpack(answered)
end

for i = 1, #KEYS - 1 do
  local key = KEYS[i + 1]
  local begins, asked = tonumber(ARGV[2 * i + 1]), ARGV[2 * i + 2]
  local before = redis.call('GETRANGE', key, begins, begins + #asked - 1)
  local after, seen_here = asked, ''
  if takes_back or before:find('[^%z]') then -- else it is the first to leave of all of them, as nearly always
    after, seen_here = merge(before, asked)
  end
  if after then
    redis.call('SETRANGE', key, begins, after)
  end
  redis.call('PEXPIRE', key, ARGV[2])
  seen[i] = seen_here
end

redis.call('SET', KEYS[1], cmsgpack.pack(seen), 'PX', ANSWER_KEPT_MILLISECONDS)
return seen
