-- What is kept of users, each call whole or not at all: lmtp/bayes/redisstore.py calls it.
-- KEYS are: 1 the salt; 2 the names of all users, a sorted set; 3 one user's state, a hash; 4 his
-- journal, a hash; 5 its order, a sorted set; 6 his state that was set aside, a hash; 7 whose were
-- set aside when, a sorted set. ARGV[1] is the verb, ARGV[2] on are its words. An entry of a journal
-- begins with its time.

local SALT, USERS, STATE, JOURNAL, ORDER, ASIDE, ASIDES = unpack(KEYS)
local FIELDS = { 'number', 'classifier', 'ham', 'spam', 'time', 'sum', 'salt', 'state' }

local verbs = {}

-- As redisstore.py reads it, too: 0 where there is nothing, -1 where that is no number.
local function number()
    if redis.call('EXISTS', STATE) == 0 then
        return '0'
    end
    local text = redis.call('HGET', STATE, 'number') or ''
    return #text <= 18 and string.match(text, '^[1-9]%d*$') or '-1'
end

local function drop(key)
    redis.call('HDEL', JOURNAL, key)
    redis.call('ZREM', ORDER, key)
end

local function add(key, entry)
    local last = redis.call('ZRANGE', ORDER, -1, -1, 'WITHSCORES')
    redis.call('HSET', JOURNAL, key, entry)
    redis.call('ZADD', ORDER, (tonumber(last[2]) or 0) + 1, key)
end

local function trim(most)
    local over = redis.call('ZCARD', ORDER) - most
    if over > 0 then
        for _, key in ipairs(redis.call('ZRANGE', ORDER, 0, over - 1)) do
            drop(key)
        end
    end
end

-- The fields, and then keys and entries.
local function write(name, list)
    for place, field in ipairs(FIELDS) do
        redis.call('HSET', STATE, field, list[place])
    end
    for place = #FIELDS + 1, #list, 2 do
        drop(list[place])
        add(list[place], list[place + 1])
    end
    redis.call('ZADD', USERS, 0, name)
end

-- Nobody is listed of whom nothing is kept.
local function list(name)
    if redis.call('EXISTS', STATE, JOURNAL) == 0 then
        redis.call('ZREM', USERS, name)
    end
end

function verbs.load(salt)
    redis.call('SET', SALT, salt, 'NX')
    return { redis.call('GET', SALT), redis.call('HMGET', STATE, unpack(FIELDS)) }
end

-- The number that is expected, most entries, the key that goes (empty for none); then as `write`.
function verbs.save(name, expected, most, gone, ...)
    if number() ~= expected then
        return 0
    end
    drop(gone)
    write(name, { ... })
    trim(tonumber(most))
    return 1
end

function verbs.replace(name, expected, ...)
    if number() ~= expected then
        return 0
    end
    redis.call('DEL', JOURNAL, ORDER)
    write(name, { ... })
    return 1
end

-- Entries after this place of the order: place, key and entry each.
function verbs.page(after, most)
    local found = {}
    local rows = redis.call('ZRANGEBYSCORE', ORDER, '(' .. after, '+inf', 'WITHSCORES', 'LIMIT', 0, most)
    for index = 1, #rows, 2 do
        found[#found + 1] = rows[index + 1]
        found[#found + 1] = rows[index]
        found[#found + 1] = redis.call('HGET', JOURNAL, rows[index]) or ''
    end
    return found
end

function verbs.expire(name, before, most)
    for done = 0, tonumber(most) - 1 do
        local key = redis.call('ZRANGE', ORDER, 0, 0)[1]
        local entry = key and redis.call('HGET', JOURNAL, key) or ''
        local time = tonumber(string.match(entry, '^(%S+) ') or '')
        if not key or time and time >= tonumber(before) then
            list(name)
            return done
        end
        drop(key)
    end
    list(name)
    return tonumber(most)
end

-- The number that is expected, now, why, for how many seconds (0: for ever), how many there may be,
-- and where those of others are.
function verbs.aside(name, expected, time, why, seconds, most, place)
    if redis.call('EXISTS', STATE) == 0 or number() ~= expected then
        return 0
    end
    redis.call('RENAME', STATE, ASIDE)
    redis.call('HSET', ASIDE, 'why', why, 'aside', time)
    if tonumber(seconds) > 0 then
        redis.call('EXPIRE', ASIDE, seconds)
    end
    redis.call('ZADD', ASIDES, time, name)
    local over = redis.call('ZCARD', ASIDES) - tonumber(most)
    if over > 0 then
        for _, one in ipairs(redis.call('ZRANGE', ASIDES, 0, over - 1)) do
            redis.call('DEL', place .. one)
            redis.call('ZREM', ASIDES, one)
        end
    end
    list(name)
    return 1
end

function verbs.forget(name)
    redis.call('ZREM', USERS, name)
    redis.call('ZREM', ASIDES, name)
    return redis.call('DEL', STATE, JOURNAL, ORDER, ASIDE)
end

return verbs[ARGV[1]](unpack(ARGV, 2))
