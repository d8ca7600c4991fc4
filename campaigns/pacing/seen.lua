-- Where the database was seen, by whoever looked last.
--
-- KEYS[1]  one hash for the installation: identity, position, is_synchronous, since
-- ARGV[1]  the identity that was read here before the database was looked at; '' for none
-- ARGV[2]  the identity it has now
-- ARGV[3]  its position
-- ARGV[4]  1 where it is synchronous
-- ARGV[5]  the position that was read here before; '' for none
--
-- Who looked long ago changes nothing that others have seen since: neither another identity, nor a later position.
-- But who saw it stand before what was read here, saw it put back.
local before = redis.call('HMGET', KEYS[1], 'identity', 'position')
if (before[1] or '') ~= ARGV[1] then
  return 0
end
local position = ARGV[3]
local was_put_back = ARGV[5] ~= '' and tonumber(ARGV[5]) > tonumber(position)
if before[1] == ARGV[2] and not was_put_back and tonumber(before[2]) > tonumber(position) then
  position = before[2]
end
redis.call('HSET', KEYS[1], 'identity', ARGV[2], 'position', position, 'is_synchronous', ARGV[4])
redis.call('HSETNX', KEYS[1], 'since', redis.call('TIME')[1])
return 1
