-- What graphical tools (DBeaver, pgAdmin, DataGrip and their like) ask to fill their trees.
-- {schema} and {table}: oids of the schema and a table.
SELECT db.oid, db.* FROM pg_catalog.pg_database db WHERE 1 = 1 AND datallowconn AND NOT datistemplate ORDER BY db.datname;
SELECT current_schema(), session_user;
SHOW search_path;
SELECT n.oid, n.*, d.description FROM pg_catalog.pg_namespace n
  LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid = n.oid AND d.objsubid = 0 AND d.classoid = 'pg_namespace'::regclass
  ORDER BY nspname;
SELECT * FROM pg_catalog.pg_enum WHERE 1 <> 1 LIMIT 1;
SELECT reltype FROM pg_catalog.pg_class WHERE 1 <> 1 LIMIT 1;
SELECT t.oid, t.*, c.relkind, format_type(nullif(t.typbasetype, 0), t.typtypmod) AS base_type_name, d.description
  FROM pg_catalog.pg_type t
  LEFT OUTER JOIN pg_catalog.pg_type et ON et.oid = t.typelem
  LEFT OUTER JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
  LEFT OUTER JOIN pg_catalog.pg_description d ON t.oid = d.objoid
  WHERE t.typname IS NOT NULL AND (c.relkind IS NULL OR c.relkind = 'c') AND (et.typcategory IS NULL OR et.typcategory <> 'C');
SELECT c.oid, c.*, d.description, pg_catalog.pg_get_expr(c.relpartbound, c.oid) AS partition_expr,
    pg_catalog.pg_get_partkeydef(c.oid) AS partition_key
  FROM pg_catalog.pg_class c
  LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid = c.oid AND d.objsubid = 0 AND d.classoid = 'pg_class'::regclass
  WHERE c.relnamespace = {schema} AND c.relkind NOT IN ('i', 'I', 'c');
SELECT c.relname, a.*, pg_catalog.pg_get_expr(ad.adbin, ad.adrelid, true) AS def_value, dsc.description, dep.objid
  FROM pg_catalog.pg_attribute a
  INNER JOIN pg_catalog.pg_class c ON (a.attrelid = c.oid)
  LEFT OUTER JOIN pg_catalog.pg_attrdef ad ON (a.attrelid = ad.adrelid AND a.attnum = ad.adnum)
  LEFT OUTER JOIN pg_catalog.pg_description dsc ON (c.oid = dsc.objoid AND a.attnum = dsc.objsubid)
  LEFT OUTER JOIN pg_depend dep ON dep.refobjid = a.attrelid AND dep.deptype = 'i' AND dep.refobjsubid = a.attnum AND dep.classid = dep.refclassid
  WHERE NOT a.attisdropped AND c.oid = {table} ORDER BY a.attnum;
SELECT c.oid, c.*, t.relname AS tabrelname, rt.relnamespace AS refnamespace, d.description, NULL AS consrc_copy
  FROM pg_catalog.pg_constraint c
  INNER JOIN pg_catalog.pg_class t ON t.oid = c.conrelid
  LEFT OUTER JOIN pg_catalog.pg_class rt ON rt.oid = c.confrelid
  LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid = c.oid AND d.objsubid = 0 AND d.classoid = 'pg_constraint'::regclass
  WHERE c.conrelid = {table};
SELECT i.*, i.indkey AS keys, c.relname, c.relnamespace, c.relam, c.reltablespace, tc.relname AS tabrelname, dsc.description,
    pg_catalog.pg_get_expr(i.indpred, i.indrelid) AS pred_expr, pg_catalog.pg_get_expr(i.indexprs, i.indrelid, true) AS expr,
    pg_catalog.pg_relation_size(i.indexrelid) AS index_rel_size, pg_catalog.pg_stat_get_numscans(i.indexrelid) AS index_num_scans
  FROM pg_catalog.pg_index i
  INNER JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
  INNER JOIN pg_catalog.pg_class tc ON tc.oid = i.indrelid
  LEFT OUTER JOIN pg_catalog.pg_description dsc ON i.indexrelid = dsc.objoid
  WHERE i.indrelid = {table} ORDER BY tabrelname, c.relname;
SELECT x.oid, x.*, p.relname AS tabrelname, d.description FROM pg_catalog.pg_trigger x
  INNER JOIN pg_catalog.pg_class p ON p.oid = x.tgrelid
  LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid = x.oid
  WHERE x.tgrelid = {table} AND NOT x.tgisinternal;
SELECT i.*, c.relnamespace FROM pg_catalog.pg_inherits i, pg_catalog.pg_class c WHERE i.inhrelid = {table} AND c.oid = i.inhparent ORDER BY i.inhseqno;
SELECT p.oid AS poid, p.*, pg_catalog.pg_get_expr(p.proargdefaults, 0) AS arg_defaults, d.description
  FROM pg_catalog.pg_proc p LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid = p.oid
  WHERE p.pronamespace = {schema} ORDER BY p.proname;
SELECT a.oid, a.*, pd.description FROM pg_catalog.pg_roles a LEFT JOIN pg_catalog.pg_shdescription pd ON a.oid = pd.objoid ORDER BY a.rolname;
SELECT c.oid, pg_catalog.pg_total_relation_size(c.oid) AS total_rel_size, pg_catalog.pg_relation_size(c.oid) AS rel_size
  FROM pg_class c WHERE c.relnamespace = {schema};
SELECT e.oid, e.extname, e.extversion FROM pg_catalog.pg_extension e;
SELECT setting FROM pg_catalog.pg_settings WHERE name = 'standard_conforming_strings';
SELECT string_agg(word, ',') FROM pg_catalog.pg_get_keywords() WHERE word <> ALL ('{a,abs,absolute}'::text[]);
SELECT sequence_name, start_value, minimum_value, maximum_value, increment FROM information_schema.sequences;
SELECT table_schema, table_name, view_definition FROM information_schema.views WHERE table_schema = current_schema();
SELECT tc.constraint_name, tc.constraint_type, kcu.column_name, ccu.table_name AS foreign_table, ccu.column_name AS foreign_column
  FROM information_schema.table_constraints tc
  JOIN information_schema.key_column_usage kcu ON kcu.constraint_name = tc.constraint_name AND kcu.table_schema = tc.table_schema
  LEFT JOIN information_schema.constraint_column_usage ccu ON ccu.constraint_name = tc.constraint_name
  WHERE tc.table_name = 'tool_accounts' ORDER BY 1, 3;
SELECT rc.constraint_name, rc.update_rule, rc.delete_rule FROM information_schema.referential_constraints rc;
SELECT pid, usename, application_name, client_addr, state, query FROM pg_catalog.pg_stat_activity WHERE datname = current_database();
SELECT l.locktype, l.mode, l.granted FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_class t ON l.relation = t.oid;
SELECT relname, n_live_tup, seq_scan, idx_scan FROM pg_catalog.pg_stat_user_tables;
SELECT schemaname, tablename, indexname, indexdef FROM pg_catalog.pg_indexes WHERE schemaname = current_schema();
SELECT schemaname, viewname, definition FROM pg_catalog.pg_views WHERE schemaname = current_schema();
SELECT grantee, privilege_type, is_grantable FROM information_schema.role_table_grants WHERE table_name = 'tool_customers';
SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = current_schema() AND tablename ~ '^tool_';
SELECT has_schema_privilege(n.oid, 'CREATE'), has_table_privilege({table}, 'SELECT') FROM pg_catalog.pg_namespace n WHERE n.oid = {schema};
SELECT d.refobjid::regclass, d.deptype FROM pg_catalog.pg_depend d WHERE d.objid = {table};
SELECT a.attname, s.n_distinct, s.null_frac FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_stats s ON s.attname = a.attname WHERE a.attrelid = {table};
SELECT ARRAY(SELECT c.relname FROM pg_catalog.pg_class c WHERE c.relnamespace = {schema} AND c.relkind = 'r' ORDER BY 1);
