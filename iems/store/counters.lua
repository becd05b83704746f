-- Counts in sliding windows, and who is held: iems/store/counterserver.py calls it, each call whole
-- or not at all. KEYS[1] is the hash of who is held, the others are hashes of counts: the length of
-- a window to its last step and the slots, the oldest first. ARGV[1] is the verb, ARGV[2] the time in
-- seconds of the epoch, where it is not the server's own, ARGV[3] on are the verb's words.

local STEPS = 10
local MOST = 281474976710656 -- 2^48

local now = tonumber(ARGV[2])
if not now then
    local time = redis.call('TIME')
    now = tonumber(time[1]) + tonumber(time[2]) / 1000000
end

local function text(number)
    return string.format('%.17g', number)
end

-- What was counted, moved on to this moment; nothing of a step that is yet to come.
local function window(key, length)
    local seconds = tonumber(length)
    local one = { key = key, length = length, seconds = seconds, slots = {}, total = 0 }
    one.step = math.floor(now * STEPS / seconds)
    local kept = {}
    for number in string.gmatch(redis.call('HGET', key, length) or '', '%d+') do
        kept[#kept + 1] = tonumber(number)
    end
    local passed = one.step - (kept[1] or 0)
    local good = #kept == STEPS + 2 and passed >= 0
    for slot = 1, STEPS + 1 do
        one.slots[slot] = good and kept[1 + slot + passed] or 0
        one.total = one.total + one.slots[slot]
    end
    return one
end

local function count(one, amount)
    local slots = one.slots
    local last = math.max(0, math.min(slots[STEPS + 1] + amount, MOST))
    one.total = one.total - slots[STEPS + 1] + last
    slots[STEPS + 1] = last
    local row = { text(one.step) }
    for slot = 1, STEPS + 1 do
        row[1 + slot] = text(slots[slot])
    end
    redis.call('HSET', one.key, one.length, table.concat(row, ' '))
    local ends = (one.step + STEPS + 1) * one.seconds / STEPS
    local left = math.ceil((ends - now) * 1000)
    if left > redis.call('PTTL', one.key) then
        redis.call('PEXPIRE', one.key, text(left))
    end
end

-- Seconds until there is no more than this of it; a whole window where that is never.
local function wait(one, room)
    local left = one.total
    for age = 0, STEPS do
        left = left - one.slots[age + 1]
        if left <= room then
            return math.max(0, (one.step + age + 1) * one.seconds / STEPS - now)
        end
    end
    return one.seconds
end

local verbs = {}

function verbs.add(length, amount)
    local one = window(KEYS[2], length)
    count(one, tonumber(amount))
    return text(one.total)
end

function verbs.peek(length)
    return text(window(KEYS[2], length).total)
end

function verbs.take()
    local claims, free, waits = {}, true, {}
    for number = 1, #KEYS - 1 do
        local length, limit, amount = unpack(ARGV, 3 * number, 3 * number + 2)
        local one = window(KEYS[1 + number], length)
        claims[number] = { one = one, amount = tonumber(amount) }
        local room = tonumber(limit) - tonumber(amount)
        local over = one.total > room
        free = free and not over
        waits[number] = over and text(wait(one, room)) or '0'
    end
    for _, claim in ipairs(free and claims or {}) do
        count(claim.one, claim.amount)
    end
    return waits
end

function verbs.hold(user, told, why)
    local since = string.format('%.6f', now)
    return redis.call('HSETNX', KEYS[1], user, since .. ' ' .. told .. ' ' .. why)
end

function verbs.tell(user, since)
    local row = redis.call('HGET', KEYS[1], user) or ''
    local head = since .. ' 0 '
    if string.sub(row, 1, #head) == head then
        redis.call('HSET', KEYS[1], user, since .. ' 1 ' .. string.sub(row, #head + 1))
    end
    return 0
end

function verbs.release(user)
    for number = 2, #KEYS do
        redis.call('DEL', KEYS[number])
    end
    return redis.call('HDEL', KEYS[1], user)
end

-- Only `take` has more words, and may have more than Lua unpacks at once.
return verbs[ARGV[1]](ARGV[3], ARGV[4], ARGV[5])
