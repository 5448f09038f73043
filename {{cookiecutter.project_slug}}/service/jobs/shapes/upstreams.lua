-- One upstream's books, in one step each: `enter` gives the seconds to wait, or 0 and the call is counted; `leave` gives
-- the job that a place was handed to, if any; `spare` lets nobody call for a while; `some` gives some of those that
-- booked, and `clear` forgets all turns. Time is Redis's own.
--   calls   those made within the period          booked  the turns of those that wait for the rate
--   held    who calls, and until when at most     line    who waits for one of these places, and when it looks again
--   spared  until when nobody may call
-- Whoever has Redis may write anything into them: nothing that lies more than a day ahead is heeded.
local calls, booked, held, line, spared = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local what, id, most, period, places, seconds = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5]), ARGV[6]
local again, short, way = ARGV[7] == '1', tonumber(ARGV[8]), tonumber(ARGV[9])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local day = 86400
local open = tonumber(redis.call('GET', spared)) or 0
-- Nor what is no number, which compares with none.
if not (open <= now + day) then open = 0 end

local function nth(key, n) return tonumber(redis.call('ZRANGE', key, n, n, 'WITHSCORES')[2]) end

local function put(key, at, who)
  redis.call('ZADD', key, at, who)
  redis.call('EXPIRE', key, day + math.ceil(period))
end

local function wait(at) return string.format('%.6f', math.max(math.min(at - now, day), 0.001)) end

if what == 'spare' then
  local at = string.format('%.6f', now + seconds)
  if now + seconds > open then redis.call('SET', spared, at, 'EX', math.ceil(seconds)) end
  return ''
end

-- Whose own turn was forgotten between the two asks for another: nobody's job is like one that has ended.
local mine = redis.call('ZSCORE', booked, id)
if what == 'some' then
  return mine and table.concat(redis.call('ZRANDMEMBER', booked, 20), ' ') or '00000000-0000-0000-0000-000000000000'
end

if what == 'clear' then
  if mine then redis.call('DEL', booked, line) end
  return ''
end

if what == 'leave' then
  redis.call('ZREM', held, id)
  local first = open <= now and redis.call('ZPOPMIN', line)[1] or ''
  -- For as long as that job may take to come.
  if first ~= '' then put(held, now + 5, first) end
  return first
end

redis.call('ZREMRANGEBYSCORE', calls, '-inf', now - period)
-- Of the future, by a clock that was set back.
redis.call('ZREMRANGEBYSCORE', calls, now + 1, '+inf')
redis.call('ZREMRANGEBYSCORE', held, '-inf', now)
redis.call('ZREMRANGEBYSCORE', held, now + day, '+inf')
redis.call('ZREMRANGEBYSCORE', booked, '-inf', now - day)
redis.call('ZREMRANGEBYSCORE', booked, now + day + period, '+inf')
redis.call('ZREMRANGEBYSCORE', line, now + day, '+inf')
redis.call('ZREM', line, id)
local made, slot = redis.call('ZCARD', calls), tonumber(redis.call('ZSCORE', booked, id))
-- Whose turn has come goes before newcomers, who leave room for those that are about to come.
local turn = again or (slot and slot <= now)
local due = turn and 0 or redis.call('ZCOUNT', booked, now - math.min(period / 2, 5), now)

if open <= now and made + due < most then
  if redis.call('ZSCORE', held, id) or redis.call('ZCARD', held) < places then
    put(held, now + seconds, id)
    put(calls, now, string.format('%s %.6f', id, now))
    redis.call('ZREM', booked, id)
    return '0'
  end
  if again then return wait(now + way) end
  -- Whoever leaves wakes the first; the time, one second after another, is for the case that nobody does.
  local at = math.max(now, nth(line, -1) or 0) + 1
  put(line, at, id)
  put(booked, slot or now, id)
  return wait(at)
end

local soon = math.max(open, made >= most and nth(calls, made - most) + period or 0)
if again or (turn and soon - now <= short) then return wait(soon) end
redis.call('ZREM', held, id)
if not slot or slot <= math.max(now, open) then
  -- The next turn is a period after the call or the turn that is so many before it.
  redis.call('ZREM', booked, id)
  local before, waiting = 0, redis.call('ZCOUNT', booked, now, '+inf')
  if waiting >= most then before = nth(booked, -most)
  elseif waiting + made >= most then before = nth(calls, waiting - most) end
  slot = math.max(now + way, open, before + period + way)
  put(booked, slot, id)
end
return wait(slot)
