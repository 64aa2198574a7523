-- Reads a whole hash of the operator's own, if it is no larger than any that the operator writes.
-- KEYS: the run
-- ARGV: the most fields; the most bytes of all fields and values
-- Returns: OK, then each field and its value | LARGE
if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[1]) then return {'LARGE'} end
local answer, bytes = redis.call('HGETALL', KEYS[1]), 0
for _, word in ipairs(answer) do bytes = bytes + #word end
if bytes > tonumber(ARGV[2]) then return {'LARGE'} end
table.insert(answer, 1, 'OK')
return answer
