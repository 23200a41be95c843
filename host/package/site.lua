-- The site of the service: what stands where, as data (README, "A site"). It is read again when it
-- changes; `derd check /etc/derd/site.lua` tells every mistake at once. Drivers and policies of
-- your own go into /etc/derd/drivers and /etc/derd/policies. Passwords stand in files of their
-- own, which the user "derd" must be able to read.
--
-- The first step: derd token create --site /etc/derd/site.lua --name NAME
return {
  http = { listen = "127.0.0.1:8080" },
  store = { directory = "/var/lib/derd" },
  clusters = {
    { key = "home", name = "Home", account = "owner",
      devices = {
        -- { key = "grid", driver = "eastron_sdm", link = "tcp://192.168.1.20:502", unit = 1,
        --   role = "grid" },
      },
    },
  },
}
