"""The rows of TimesTen Scaleout's feature map: what each is here, and the test that shows it.

docs/feature-map.md is made from this by `python -m tests.support.reference`. A row stands on its
own, so that two changes seldom meet; `todo` is for what nobody has looked at yet.
"""

from __future__ import annotations

from dataclasses import dataclass

WORKS, DIFFERS, REFUSED, TODO = "works", "differs", "refused", "todo"
AREAS = {  # of the map: how many rows
    "TYP": ("Types and functions", 10),
    "SQL": ("Statements", 15),
    "DIS": ("Distribution of tables", 16),
    "IDX": ("Indexes, sequences, hints, plans", 20),
    "SEC": ("Users and security", 14),
    "SYS": ("System views", 12),
    "MON": ("Monitoring", 8),
}
IDS = [f"{area}-{n:02}" for area, (_, count) in AREAS.items() for n in range(1, count + 1)]


@dataclass(frozen=True)
class Row:
    """One row. `test`, of each status but `todo`: path::function, or a file in the sqllogictest
    format, where records under a comment with the row's id show it."""

    id: str
    title: str  # what TimesTen has
    status: str
    here: str  # what it is here, one line
    test: str = ""


# fmt: off
ROWS = (
    # -- TYP
    Row("TYP-01", "Character types",
        WORKS, "lengths without a unit are characters; INLINE changes nothing",
        "tests/integration/sql/test_types.py::test_values_of_all_types_come_back"),
    Row("TYP-02", "Numeric types",
        WORKS, "exact; also FLOAT, REAL, DOUBLE PRECISION",
        "tests/unit/sql/test_exact_types.py::test_precision_and_scale"),
    Row("TYP-03", "Date and time types",
        WORKS, "microseconds; also interval columns and TIMESTAMP WITH TIME ZONE",
        "tests/unit/sql/test_exact_types.py::test_dates_move_by_days_and_intervals"),
    Row("TYP-04", "BINARY, VARBINARY",
        WORKS, "`BINARY`, `VARBINARY`, `RAW`",
        "tests/integration/sql/test_types.py::test_values_of_all_types_come_back"),
    Row("TYP-05", "No LOB columns",
        DIFFERS, "CLOB, NCLOB, BLOB columns, 4 MiB each; also JSON, BOOLEAN, UUID",
        "tests/integration/sql/test_types.py::test_values_of_all_types_come_back"),
    Row("TYP-06", "Character sets",
        DIFFERS, "UTF-8 everywhere; the driver's client_encoding is UTF8",
        "tests/unit/sql/test_exact_types.py::test_lengths_in_bytes_and_characters"),
    Row("TYP-07", "Functions",
        WORKS, "Oracle's, TimesTen's, and PostgreSQL's that tools send",
        "tests/unit/sql/test_function_families.py::test_functions"),
    Row("TYP-08", "ELEMENTIDCOMPUTE",
        WORKS, "the element that leads the key's replica set",
        "tests/integration/sql/test_documented_sessions.py::test_the_documented_sessions"),
    Row("TYP-09", "SYSDATE and its like",
        WORKS, "one statement sees one clock, in UTC",
        "tests/unit/sql/test_function_families.py::test_clocks_and_users"),
    Row("TYP-10", "USER, UID, SESSION_USER",
        WORKS, "also CURRENT_USER, SYS_CONTEXT",
        "tests/unit/sql/test_function_families.py::test_clocks_and_users"),
    # -- SQL
    Row("SQL-01", "The list of supported statements",
        DIFFERS, "all but CREATE CACHE GROUP, which is refused; PL/SQL too",
        "tests/integration/documents/test_sql_reference.py::test_examples"),
    Row("SQL-02", "Cache groups",
        REFUSED, "`0A000`; data comes by COPY or INSERT",
        "tests/unit/sql/test_ddl_parse.py::test_what_is_not_there_is_refused_by_name"),
    Row("SQL-03", "The list of statements that are not there",
        DIFFERS, "MERGE, LOCK TABLE and SAVEPOINT are there; the others are refused with `0A000`",
        "tests/integration/sql/test_statements.py::"
        "test_any_number_of_replica_sets_gives_the_same"),
    Row("SQL-04", "Statements from any element",
        WORKS, "DDL and DML through any connection reach all elements",
        "tests/integration/sql/test_ddl_while_down.py::test_an_element_that_was_down_gets_the_ddl"),
    Row("SQL-05", "DDL and elements that are down",
        WORKS, "they get it from the log when they are back",
        "tests/integration/sql/test_ddl_while_down.py::test_an_element_that_was_down_gets_the_ddl"),
    Row("SQL-06", "TRUNCATE TABLE",
        WORKS, "refused while children have rows; not on tables that views show, nor temporary",
        "tests/integration/sql/test_ddl_forms.py::test_columns_sequences_and_other_objects"),
    Row("SQL-07", "FIRST n, ROWS m TO n",
        WORKS, "of SELECT, DELETE and UPDATE; also LIMIT, FETCH FIRST, ROWNUM",
        "tests/integration/sql/test_statements.py::"
        "test_any_number_of_replica_sets_gives_the_same"),
    Row("SQL-08", "RETURNING",
        WORKS, "values come as rows, also of `RETURNING … INTO :a` and of MERGE",
        "tests/integration/sql/test_statements.py::"
        "test_any_number_of_replica_sets_gives_the_same"),
    Row("SQL-09", "Queries",
        WORKS, "and LATERAL, RANGE frames, PERCENTILE_CONT …; CONNECT BY is refused",
        "tests/integration/sql/test_statements.py::"
        "test_any_number_of_replica_sets_gives_the_same"),
    Row("SQL-10", "Named and numbered parameters",
        WORKS, "`:name`, `?` and `$1`",
        "tests/unit/sql/test_semantics.py::test_named_parameters_are_numbered_by_name"),
    Row("SQL-11", "Synonyms, views, profiles",
        WORKS, "synonyms stand for names and grant nothing; views read with their owner's rights",
        "tests/unit/sql/test_ddl_access.py::test_synonyms_resolve_and_do_not_grant"),
    Row("SQL-12", "Password profiles",
        WORKS, "all seven limits, ALTER and DROP PROFILE; enforced over all data instances",
        "tests/integration/access/test_logins.py::"
        "test_an_account_locks_on_all_elements_and_is_unlocked"),
    Row("SQL-13", "DUAL",
        WORKS, "one row, at any element",
        "tests/integration/sql/test_documented_sessions.py::test_the_documented_sessions"),
    Row("SQL-14", "Limits of names, columns, indexes",
        DIFFERS, "names have up to 63 bytes; 1,000 columns; 32 columns of an index",
        "tests/unit/sql/test_limits.py::test_columns_of_an_index"),
    Row("SQL-15", "Table features that are not there",
        DIFFERS, "AGING, COMPRESS, ROWID columns: `0A000`; LOB columns are there",
        "tests/unit/sql/test_ddl_parse.py::test_what_is_not_there_is_refused_by_name"),
    # -- DIS
    Row("DIS-01", "DISTRIBUTE BY HASH",
        WORKS, "also without a clause; without a primary key by a hidden column",
        "tests/unit/sql/test_ddl.py::"
        "test_default_distribution_is_hash_of_the_primary_key_or_of_a_hidden_one"),
    Row("DIS-02", "DISTRIBUTE BY REFERENCE",
        WORKS, "any depth; TT1066, TT1067, TT1068",
        "tests/unit/sql/test_ddl.py::test_a_parent_key_without_the_distribution_key_is_1067"),
    Row("DIS-03", "DUPLICATE",
        WORKS, "read at the own element, written at all",
        "tests/integration/sql/test_redistribution_of_tables.py::test_rows_go_where_the_clause_puts_them"),
    Row("DIS-04", "Temporary tables take no distribution",
        WORKS, "GLOBAL TEMPORARY, both ON COMMIT; a distribution clause is an error",
        "tests/integration/sql/test_temporary_tables.py::test_what_is_refused"),
    Row("DIS-05", "CREATE TABLE AS SELECT",
        WORKS, "with distribution, keys, defaults",
        "tests/integration/sql/test_ddl_forms.py::test_columns_sequences_and_other_objects"),
    Row("DIS-06", "UNIQUE HASH ON, USING INDEX",
        DIFFERS, "accepted and shown, stored as ranges; a key that needs a global index gets it",
        "tests/unit/sql/test_ddl.py::test_only_keys_that_do_not_fix_the_bucket_are_global"),
    Row("DIS-07", "Foreign keys",
        WORKS, "across all distributions; RESTRICT, CASCADE, SET NULL",
        "tests/integration/sql/test_parent_keys.py::test_a_parent_that_changes_its_key_keeps_its_children"),
    Row("DIS-08", "UNIQUE beside the distribution key",
        WORKS, "through a global index that is made by itself",
        "tests/unit/sql/test_ddl.py::test_only_keys_that_do_not_fix_the_bucket_are_global"),
    Row("DIS-09", "ALTER TABLE ... DISTRIBUTE BY",
        DIFFERS, "also on filled tables, while clients work",
        "tests/integration/sql/test_redistribution_of_tables.py::test_rows_go_where_the_clause_puts_them"),
    Row("DIS-10", "ALTER of constraints",
        WORKS, "a primary key added later leaves the rows where they are; it is never dropped",
        "tests/unit/sql/test_ddl.py::test_a_primary_key_added_later_leaves_the_rows_where_they_are"),
    Row("DIS-11", "ALTER of columns",
        WORKS, "all documented forms; MODIFY converts types too",
        "tests/integration/sql/test_ddl_forms.py::test_columns_sequences_and_other_objects"),
    Row("DIS-12", "UPDATE of keys",
        DIFFERS, "allowed: the row moves; refused while children refer to the key",
        "tests/integration/sql/test_parent_keys.py::"
        "test_a_parent_that_changes_its_key_keeps_its_children"),
    Row("DIS-13", "ROWID",
        REFUSED, "no ROWID; `elementId#` and keys tell where a row is",
        "tests/sql/files/distribution.test"),
    Row("DIS-14", "Advice which distribution to choose",
        WORKS, "a table in docs/sql-reference.md",
        "tests/integration/documents/test_sql_reference.py::test_examples"),
    Row("DIS-15", "ELEMENTIDCOMPUTE",
        WORKS, "the element that leads the replica set of the key",
        "tests/integration/sql/test_documented_sessions.py::test_the_documented_sessions"),
    Row("DIS-16", "Load first, index later",
        WORKS, "indexes are made on filled tables; a key that stands twice is an error",
        "tests/integration/sql/test_ddl_forms.py::test_columns_sequences_and_other_objects"),
    # -- IDX
    Row("IDX-01", "Local indexes",
        WORKS, "a query by other columns than the distribution key asks all sets",
        "tests/integration/sql/test_global_indexes.py::test_the_index_says_where_or_gives_the_answer"),
    Row("IDX-02", "Global indexes",
        WORKS, "one set for the lookup, then those of the rows; INCLUDE answers alone",
        "tests/integration/sql/test_global_indexes.py::test_the_index_says_where_or_gives_the_answer"),
    Row("IDX-03", "What a global index costs",
        WORKS, "a second write in the same transaction",
        "tests/integration/sql/test_global_indexes.py::test_changes_through_and_of_an_index"),
    Row("IDX-04", "Global indexes change with their transaction",
        WORKS, "in the same two-phase commit; rollback leaves none",
        "tests/integration/sql/test_global_indexes.py::test_changes_through_and_of_an_index"),
    Row("IDX-05", "Hash and range indexes, no bitmap",
        DIFFERS, "HASH is accepted and shown, stored as a range; BITMAP: `0A000`",
        "tests/unit/sql/test_limits.py::test_columns_of_an_index"),
    Row("IDX-06", "Materialized views",
        WORKS, "kept up in the transaction of the change; DISTRIBUTE BY HASH is mandatory",
        "tests/integration/sql/test_materialized_views.py::test_views_follow_changes_and_rollbacks"),
    Row("IDX-07", "What a materialized view may select",
        WORKS, "columns and expressions of one hash table, WHERE; the rest refused with its reason",
        "tests/integration/sql/test_materialized_views.py::test_what_is_refused"),
    Row("IDX-08", "Sequences",
        WORKS, "unique everywhere; a batch at a time for each data instance",
        "tests/integration/sql/test_ddl_forms.py::test_columns_sequences_and_other_objects"),
    Row("IDX-09", "ALTER SEQUENCE",
        WORKS, "BATCH, and the other options but START",
        "tests/integration/sql/test_ddl_forms.py::test_columns_sequences_and_other_objects"),
    Row("IDX-10", "NEXTVAL, CURRVAL",
        WORKS, "CURRVAL needs NEXTVAL in the session",
        "tests/integration/sql/test_ddl_forms.py::test_columns_sequences_and_other_objects"),
    Row("IDX-11", "The sample's sequence",
        WORKS, "`CREATE SEQUENCE txn_seq CACHE 100 BATCH 1000000`",
        "tests/integration/sql/test_ddl_forms.py::test_columns_sequences_and_other_objects"),
    Row("IDX-12", "elementId#, replicaSetId#, dataSpaceId#",
        WORKS, "also in RETURNING and in WHERE of changes",
        "tests/integration/sql/test_documented_sessions.py::test_the_documented_sessions"),
    Row("IDX-13", "SELECT elementId# FROM dual",
        WORKS, "the connection's element",
        "tests/integration/sql/test_documented_sessions.py::test_the_documented_sessions"),
    Row("IDX-14", "TT_GridQueryExec",
        WORKS, "LOCAL, GLOBAL",
        "tests/integration/sql/test_documented_sessions.py::test_the_documented_sessions"),
    Row("IDX-15", "TT_PartialResult",
        WORKS, "with a WARNING that names the replica sets left out",
        "tests/integration/txn/test_partial_result.py::test_the_rows_of_the_others"),
    Row("IDX-16", "TT_CommitDMLOnSuccess",
        WORKS, "at one replica set in the statement's own round trip",
        "tests/integration/txn/test_round_trips.py::test_a_transaction_at_one_replica_set_costs_one_round_trip"),
    Row("IDX-17", "Levels of hints",
        WORKS, "statement before transaction (ttOptSetFlag, ttOptSetOrder, ttOptUseIndex) before "
        "OptimizerHint; they count when a statement is prepared",
        "tests/integration/sql/test_plans_on_a_grid.py::test_hints_of_statement_transaction_and_connection"),
    Row("IDX-18", "Hints of the optimizer",
        DIFFERS, "TT_RowLock, TT_TblLock, TT_Index, TT_JoinOrder, TT_Range(0) with TT_HashScan(0); "
        "others do nothing, and EXPLAIN says why",
        "tests/integration/sql/test_plans_on_a_grid.py::test_hints_of_statement_transaction_and_connection"),
    Row("IDX-19", "EXPLAIN",
        WORKS, "local, remote or global per step, rows, and why not more local; ANALYZE, JSON; "
        "SYS.PLAN is the last EXPLAIN",
        "tests/integration/sql/test_plans_on_a_grid.py::test_explain_tells_where_each_step_runs"),
    Row("IDX-20", "Statistics",
        WORKS, "ttOptUpdateStats, ttOptEstimateStats, ttOptClearStats, ANALYZE; SYS.TBL_STATS, "
        "SYS.COL_STATS",
        "tests/integration/sql/test_plans_on_a_grid.py::test_statistics_are_taken_across_the_grid"),
    # -- SEC
    Row("SEC-01", "CREATE, ALTER, DROP USER",
        WORKS, "also EXTERNALLY, PROFILE, ACCOUNT, PASSWORD EXPIRE; DROP ... CASCADE besides; "
        "names up to 63 bytes",
        "tests/integration/access/test_logins.py::"
        "test_accounts_and_passwords_are_locked_and_expire"),
    Row("SEC-02", "Who may make users",
        WORKS, "the instance administrator over the local socket, and ADMIN",
        "tests/unit/sql/test_ddl_access.py::test_each_gate_opens_for_its_privilege"),
    Row("SEC-03", "System privileges",
        WORKS, "TimesTen's list; each gate is tested; those of cache groups are "
        "known and of no use",
        "tests/unit/sql/test_ddl_access.py::test_each_gate_opens_for_its_privilege"),
    Row("SEC-04", "Object privileges",
        WORKS, "SELECT, INSERT, UPDATE, DELETE, REFERENCES, INDEX, and ALTER besides",
        "tests/integration/access/test_privileges.py::"
        "test_a_statement_needs_its_privilege_and_loses_it_again"),
    Row("SEC-05", "Hierarchy of privileges, PUBLIC",
        WORKS, "ADMIN contains all, ANY the object level; PUBLIC may be granted all but "
        "ADMIN; no roles",
        "tests/integration/access/test_privileges.py::test_any_privileges_and_admin"),
    Row("SEC-06", "An owner keeps all on his objects",
        WORKS, "REVOKE from the owner has no effect",
        "tests/unit/sql/test_ddl_access.py::test_the_owner_keeps_all"),
    Row("SEC-07", "The usual application user",
        WORKS, "`CREATE PROCEDURE` is granted without there being any",
        "tests/integration/access/test_privileges.py::"
        "test_a_plan_of_the_owner_is_not_lent_to_others"),
    Row("SEC-08", "Views of privileges",
        WORKS, "`USER_`, `DBA_SYS_PRIVS`, `USER_`, `ALL_`, `DBA_TAB_PRIVS`, `USERS`, "
        "`DBA_PROFILES`",
        "tests/integration/access/test_system_views.py::"
        "test_grants_and_users_are_shown_as_they_are"),
    Row("SEC-09", "A schema for each user",
        WORKS, "made and dropped with the user; `SET SCHEMA` changes names, not rights",
        "tests/integration/access/test_privileges.py::"
        "test_a_plan_of_the_owner_is_not_lent_to_others"),
    Row("SEC-10", "Passwords",
        DIFFERS, "SCRAM-SHA-256 verifiers; PostgreSQL's clients ask for it or take it from a "
        "passfile, there is no wallet",
        "tests/integration/access/test_privileges.py::"
        "test_no_password_is_kept_with_the_statements"),
    Row("SEC-11", "TLS of clients",
        WORKS, "server certificates of the grid, an archive for clients (docs/operations.md)",
        "tests/cluster/test_encrypted_grid.py::test_psycopg_and_psql_check_the_server_by_name"),
    Row("SEC-12", "Encryption between instances",
        WORKS, "TLS, both sides with certificates of the grid",
        "tests/integration/networks/test_rpc_tls.py::test_nothing_can_be_read_on_the_way"),
    Row("SEC-13", "Data at rest",
        WORKS, "not encrypted, as in TimesTen: an encrypted file system does that",
        "tests/integration/access/test_privileges.py::test_rows_are_not_encrypted_in_the_files"),
    Row("SEC-14", "Audit",
        REFUSED, "`AUDIT` is refused by name: there is no audit trail, as in TimesTen",
        "tests/unit/sql/test_utility.py::test_audit_is_refused_by_name"),
    # -- SYS
    Row("SYS-01", "V$ and GV$ views",
        WORKS, "of the connected element; of all, with ELEMENTID",
        "tests/integration/access/test_system_views.py::test_gv_views_tell_of_all_elements"),
    Row("SYS-02", "V$DISTRIBUTION_CURRENT",
        WORKS, "with the addresses a routing client needs; for everybody",
        "tests/integration/access/test_system_views.py::"
        "test_the_distribution_as_a_routing_client_asks_for_it"),
    Row("SYS-03", "V$DISTRIBUTION_MAP",
        DIFFERS, "STATUS says current, previous, next; with the buckets of each",
        "tests/integration/access/test_system_views.py::"
        "test_the_distribution_as_a_routing_client_asks_for_it"),
    Row("SYS-04", "V$DISTRIBUTION_VERSION",
        WORKS, "counts up with each change of the map",
        "tests/integration/access/test_system_views.py::"
        "test_the_distribution_as_a_routing_client_asks_for_it"),
    Row("SYS-05", "V$DISTRIBUTION_STATE",
        WORKS, "all seven states; elements are asked for theirs, so others agree at once",
        "tests/integration/distribution/test_evicting.py"
        "::test_the_view_of_states_knows_what_elements_say_of_themselves"),
    Row("SYS-06", "V$GRIDSTATS",
        DIFFERS, "name and value: the map, epochs, replication; our own names",
        "tests/integration/access/test_system_views.py::"
        "test_every_view_can_be_read_and_the_restricted_ones_not_by_all"),
    Row("SYS-07", "V$XACT_ID",
        WORKS, "element, connection, counter",
        "tests/integration/exec/test_transaction_views.py::test_open_and_waiting"),
    Row("SYS-08", "V$ twins of built-in procedures",
        DIFFERS, "CONFIGURATION (`TTGrid` = 1) and most others with what is known here; the "
        "rest is NULL",
        "tests/integration/access/test_system_views.py::test_values_are_real_and_move"),
    Row("SYS-09", "SYS.MONITOR, SYS.SYSTEMSTATS",
        DIFFERS, "space, connections, checkpoints, lock waits, plans; what nobody counts is "
        "NULL; names of SYSTEMSTATS are ours",
        "tests/integration/access/test_system_views.py::test_values_are_real_and_move"),
    Row("SYS-10", "SYS catalog, ALL_, DBA_, USER_ views",
        WORKS, "each user sees what it has a privilege on; sequences with their batches; "
        "ERRORS and ARGUMENTS are empty",
        "tests/integration/access/test_system_views.py::"
        "test_users_see_what_they_have_a_privilege_on"),
    Row("SYS-11", "System tables are read-only",
        WORKS, "`42501`",
        "tests/integration/access/test_system_views.py::test_system_views_are_read_only"),
    Row("SYS-12", "The management's own tables",
        REFUSED, "they are no part of a database: `42P01`",
        "tests/integration/access/test_system_views.py::"
        "test_tables_of_the_management_are_not_here"),
    # -- MON
    Row("MON-01", "Daemon logs",
        WORKS, "`ttmesg.log`, `tterrors.log` and `ttaudit.log` per instance, JSON, rotating",
        "tests/unit/daemons/test_logs.py::test_errors_go_into_both_files_and_the_rest_into_one"),
    Row("MON-02", "ttExporter",
        DIFFERS, "the daemon serves `/metrics` itself; `-port`, `-limit`, `-insecure`, `-stop`; "
        "names and labels as TimesTen's; mutual TLS by the grid's certificates",
        "tests/integration/daemons/test_exporter.py::test_on_limited_moved_and_off"),
    Row("MON-03", "Operator metrics",
        DIFFERS, "`timesten_scaleout_state_normal` per database, by the active management",
        "tests/unit/mgmt/test_exported.py::test_a_lost_copy_is_not_normal"),
    Row("MON-04", "SQL statistics",
        WORKS, "of each cached statement: executions, times, rows, errors, kind of plan",
        "tests/integration/exec/test_figures.py::test_the_statement_cache_in_sql"),
    Row("MON-05", "Connection list",
        WORKS, "`dbStatus -connections`",
        "tests/cluster/test_database_transcripts.py::test_connections_are_shown"),
    Row("MON-06", "Memory warnings",
        WORKS, "a warning in the log above 90 % of PermSize, an alert rule, and dbStatus",
        "tests/integration/exec/test_slow_statements.py::"
        "test_a_database_that_gets_full_says_so_once"),
    Row("MON-07", "Management space",
        DIFFERS, "the store of management keeps a bounded number of versions; its host's disk is "
        "for your host monitoring",
        "tests/unit/mgmt/test_exported.py::test_what_management_tells_of_itself"),
    Row("MON-08", "Enterprise Manager plug-in",
        DIFFERS, "none; the console, Prometheus rules and a Grafana dashboard",
        "tests/unit/deploy/test_monitoring.py::test_the_dashboard_is_whole"),
)
# fmt: on
