-- wrk: ask for many links, the codes of `link_repository.code`.
-- Arguments: order (round, uniform, zipf), how many links, where `round` begins.

local order, links, number, tail

function init(args)
    order, links, number = args[1], tonumber(args[2]), tonumber(args[3])
    math.randomseed(20261124 + number)
    -- Everything behind the path is the same in each request.
    tail = wrk.format("GET", "/"):match("^GET /(.*)$")
end

local function draw()
    if order == "uniform" then
        return math.random(0, links - 1)
    elseif order == "zipf" then
        return math.floor(links ^ math.random()) - 1  -- the inverse of ln(n) / ln(links)
    end
    number = (number + 1) % links
    return number
end

function request()
    return string.format("GET /l%08d", draw()) .. tail
end
