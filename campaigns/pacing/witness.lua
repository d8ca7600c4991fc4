-- What left, by campaign: the byte at 100 x (batch number - 1) + position is the last attempt that was let go.
--
-- KEYS[i]  the marks of the campaign of the i-th request; a campaign may stand here several times
-- ARGV[1]  'mark' or 'take back'
-- ARGV[2]  for how many milliseconds from now marks are kept
-- then for each request three: where the bytes of its batch begin; its messages' positions, a byte each; the
-- attempts that are to leave, or to be taken back, a byte each
--
-- mark: an attempt that was marked before, or an earlier one than was, must not leave: for each request these are
-- given, two bytes each: the position, and the attempt that left last. The others are marked, and may leave.
-- take back: certainly not taken after all; where the mark is of just this attempt, it is one lower again.
--
-- A byte counts to 255. What is attempted more often is marked as the 255th attempt, and passes always.
local TOP = 255
local takes_back = ARGV[1] == 'take back'
local seen = {}

for i, key in ipairs(KEYS) do
  local begins = tonumber(ARGV[3 * i])
  local positions, attempts = ARGV[3 * i + 1], ARGV[3 * i + 2]
  local before = redis.call('GETRANGE', key, begins, begins + 99)
  local after = {before:byte(1, -1)}
  local first, last = 101, 0
  local seen_here = {}

  for n = 1, #positions do
    local at, attempt = positions:byte(n) + 1, attempts:byte(n)
    for gap = #after + 1, at do
      after[gap] = 0
    end
    local mark = after[at]
    local is_changed = false
    if takes_back then
      is_changed = mark == attempt
      attempt = attempt - 1
    elseif mark < attempt or attempt == TOP then
      is_changed = true
    else
      seen_here[#seen_here + 1] = string.char(at - 1, mark)
    end
    if is_changed then
      after[at] = attempt
      first, last = math.min(first, at), math.max(last, at)
    end
  end

  if last > 0 then
    redis.call('SETRANGE', key, begins + first - 1, string.char(unpack(after, first, last)))
  end
  redis.call('PEXPIRE', key, ARGV[2])
  seen[i] = table.concat(seen_here)
end

return seen
