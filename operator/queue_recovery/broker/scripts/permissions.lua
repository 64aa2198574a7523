-- Tries every command that the operator sends on keys, in a form that changes nothing, on a key of its own.
-- KEYS: the probe; then keys that the other scripts use, so that the server checks the ACL's patterns for them
-- ARGV: none
-- Returns: the names of the commands that the ACL forbids | WRITES, the error of a server that accepts no writes
local probe = KEYS[1]
local forms = {
  {'GET', probe}, {'GETRANGE', probe, '0', '0'}, {'TYPE', probe}, {'EXISTS', probe}, {'LLEN', probe}, {'HLEN', probe},
  {'LRANGE', probe, '0', '0'}, {'HSCAN', probe, '0'}, {'SSCAN', probe, '0'}, {'HGETALL', probe},
  {'ZRANGEBYSCORE', probe, '0', '0'}, {'HGET', probe, ''}, {'HMGET', probe, ''}, {'HEXISTS', probe, ''}, {'HSTRLEN', probe, ''}, {'ZSCORE', probe, ''},
  {'ZREVRANGE', probe, '0', '0'},
  {'DEL', probe}, {'UNLINK', probe}, {'PERSIST', probe}, {'HDEL', probe, ''}, {'ZREM', probe, ''},
  {'SET', probe, '', 'XX'}, {'ZADD', probe, 'XX', '0', ''},
  -- These fail, but only after the ACL has been asked: no such key, odd number of arguments, no number.
  {'RENAMENX', probe, probe}, {'HSET', probe, '', '', ''}, {'HINCRBY', probe, '', ''},
  -- LPUSH and RPUSH have no form without effect but on a key of another type.
  {'SET', probe, ''}, {'LPUSH', probe, ''}, {'RPUSH', probe, ''}, {'DEL', probe}, {'LPOP', probe}, {'RPOP', probe},
}
local denied = {}
for _, form in ipairs(forms) do
  local answer = redis.pcall(unpack(form))
  if type(answer) == 'table' and answer['err'] then
    -- The wordings of Redis up to 6, of Redis 7 and of Valkey.
    local text = answer['err']
    if text:find('NOPERM') or text:find("can't run this command") or text:find('ACL failure') then
      denied[#denied + 1] = form[1]
    elseif text:find('READONLY') or text:find('MISCONF') or text:find('NOREPLICAS') then
      return {'WRITES', text}
    end
  end
end
return denied
