-- TPTBM's update, prepared: the same as pgbench/tptbm_update.sql.
function thread_init()
  connection = sysbench.sql.driver():connect()
  update = connection:prepare("UPDATE vpn_users SET last_calling_party = ? WHERE vpn_id = ? AND vpn_nb = ?")
  party = update:bind_create(sysbench.sql.type.INT)
  vpn = update:bind_create(sysbench.sql.type.INT)
  number = update:bind_create(sysbench.sql.type.INT)
  update:bind_param(party, vpn, number)
end
function thread_done()
  update:close()
  connection:disconnect()
end
function event()
  party:set(sysbench.rand.uniform(0, 99999))
  vpn:set(sysbench.rand.uniform(0, 99))
  number:set(sysbench.rand.uniform(0, 99))
  update:execute()
end
