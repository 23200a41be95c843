"""Solar charging from outside: reads derd's API every 5 s and gives the wallbox what is to spare.
Needs DERD_URL (http://127.0.0.1:8080) and DERD_TOKEN. Each wish holds for 30 s: when this program
ends, for whatever reason, the wallbox goes back to what others want of it."""
import json, os, time, urllib.error, urllib.request, uuid

URL = os.environ.get("DERD_URL") or exit("Set DERD_URL and DERD_TOKEN.")
HOME = URL + "/v1/clusters/home"
WISH = f"{HOME}/devices/wallbox/constraints/{uuid.uuid4()}"  # one id: renewed, never piled up
LEAST, START_AFTER, STOP_AFTER = 1380, 60, 180  # W (6 A on one phase), s, s


def ask(method, url, body=None):
    headers = {"Authorization": "Bearer " + os.environ["DERD_TOKEN"],
               "Content-Type": "application/json"}
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(url, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def step(on, waited):
    devices = {item["key"]: item for item in ask("GET", HOME + "/flexibility")["items"]}
    grid, wallbox = devices["grid"], devices["wallbox"]
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if grid["activePower"] is None or (grid["invalidAt"] or "") < now:
        print("The grid meter is silent: no wish.")
        return on, 0
    spare = (wallbox["activePower"] or 0) - grid["activePower"]  # import is positive
    waited = 0 if (spare >= LEAST) == on else waited + 5
    if waited > (STOP_AFTER if on else START_AFTER):
        on, waited = not on, 0
    power = int(max(spare, LEAST)) if on else 0
    ask("PUT", WISH, {"priority": 1500, "activePower": power, "validFor": 30,
                      "onConflict": "clamp", "reason": f"{spare:.0f} W to spare"})
    print(f"{spare:.0f} W to spare, the car is {wallbox['state']}: {power} W asked for.")
    return on, waited


on, waited = False, 0
try:
    while True:
        try:
            on, waited = step(on, waited)
        except urllib.error.HTTPError as problem:
            print("Refused:", problem.code, problem.read().decode())
        except (OSError, KeyError) as problem:
            print("No answer to work with:", problem)
        time.sleep(5)
except KeyboardInterrupt:
    print("\nEnded: the last wish lapses within 30 s.")
