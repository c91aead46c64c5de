import java.sql.*;
import java.util.*;

/** Prints what JDBC's DatabaseMetaData says of the tables of tools.sql, then works with them. */
public class Metadata {
    interface Asked { ResultSet ask() throws SQLException; }

    static void show(String title, Asked asked, String... columns) throws SQLException {
        try (ResultSet rows = asked.ask()) {
            while (rows.next()) {
                StringJoiner line = new StringJoiner(" ");
                for (String column : columns) line.add(String.valueOf(rows.getString(column)));
                System.out.println(title + ": " + line);
            }
        }
    }

    static int count(Asked asked) throws SQLException {
        try (ResultSet rows = asked.ask()) {
            int found = 0;
            while (rows.next()) found++;
            return found;
        }
    }

    public static void main(String[] words) throws Exception {
        try (Connection connection = DriverManager.getConnection(words[0], words[1], words[2])) {
            describe(connection.getMetaData(), words[1]);
            work(connection);
        }
    }

    static void describe(DatabaseMetaData data, String user) throws SQLException {
        String customers = "tool_customers";
        System.out.println("keywords: " + data.getSQLKeywords().contains("sysdate"));
        show("catalog", data::getCatalogs, "TABLE_CAT");
        show("table", () -> data.getTables(null, user, "tool%", new String[] {"TABLE", "VIEW"}), "TABLE_NAME", "TABLE_TYPE", "REMARKS");
        show("column", () -> data.getColumns(null, user, customers, null), "COLUMN_NAME", "DATA_TYPE", "TYPE_NAME", "COLUMN_SIZE", "DECIMAL_DIGITS", "IS_NULLABLE");
        show("primary key", () -> data.getPrimaryKeys(null, user, customers), "COLUMN_NAME", "KEY_SEQ", "PK_NAME");
        show("imported", () -> data.getImportedKeys(null, user, "tool_accounts"), "PKTABLE_NAME", "PKCOLUMN_NAME", "FKCOLUMN_NAME", "DELETE_RULE", "FK_NAME");
        show("exported", () -> data.getExportedKeys(null, user, customers), "FKTABLE_NAME", "FK_NAME");
        show("index", () -> data.getIndexInfo(null, user, customers, false, true), "INDEX_NAME", "NON_UNIQUE", "ORDINAL_POSITION", "COLUMN_NAME", "ASC_OR_DESC");
        show("row", () -> data.getBestRowIdentifier(null, user, customers, DatabaseMetaData.bestRowTransaction, true), "COLUMN_NAME");
        show("privilege", () -> data.getTablePrivileges(null, user, customers), "GRANTEE", "PRIVILEGE");
        Asked[] others = {
            data::getSchemas, data::getTableTypes, data::getTypeInfo, data::getClientInfoProperties,
            () -> data.getTables(null, null, null, null), () -> data.getColumns(null, null, "%", null),
            () -> data.getColumnPrivileges(null, user, customers, "%"), () -> data.getCrossReference(null, user, customers, null, user, "tool_accounts"),
        };
        for (Asked asked : others) if (count(asked) == 0) System.out.println("nothing came");
        Asked[] nothing = {
            () -> data.getProcedures(null, user, null), () -> data.getProcedureColumns(null, user, null, null), () -> data.getUDTs(null, user, null, null),
            () -> data.getFunctions(null, user, null), () -> data.getFunctionColumns(null, user, null, null),
        };
        for (Asked asked : nothing) count(asked);
    }

    static void work(Connection connection) throws SQLException {
        PreparedStatement select = connection.prepareStatement("select cust_id, name as n from tool_customers where cust_id = ? and name = ?");
        ParameterMetaData parameters = select.getParameterMetaData();
        System.out.println("parameters: " + parameters.getParameterCount() + " " + parameters.getParameterTypeName(2));
        ResultSetMetaData columns = select.getMetaData();
        System.out.println("result: " + columns.getColumnLabel(2) + " " + columns.getTableName(2) + " " + columns.getPrecision(1) + " " + columns.isNullable(1));
        connection.setAutoCommit(false);
        PreparedStatement insert = connection.prepareStatement("insert into tool_customers (cust_id, name, born) values (?, ?, ?)", Statement.RETURN_GENERATED_KEYS);
        for (int id = 100; id < 110; id++) {
            insert.setLong(1, id);
            insert.setString(2, "n" + id);
            insert.setTimestamp(3, Timestamp.valueOf("2024-02-03 04:05:06"));
            insert.addBatch();
        }
        System.out.println("batch: " + insert.executeBatch().length);
        connection.commit();
        select = connection.prepareStatement("select name, born, credit from tool_customers where cust_id >= ? order by cust_id");
        select.setFetchSize(3); // a portal, and after five runs a statement on the server
        for (int again = 0; again < 8; again++) {
            select.setLong(1, 100);
            try (ResultSet rows = select.executeQuery()) {
                int found = 0;
                while (rows.next()) found++;
                if (found != 10) System.out.println("rows: " + found);
            }
        }
        Statement scrolled = connection.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_UPDATABLE);
        ResultSet row = scrolled.executeQuery("select cust_id, name from tool_customers where cust_id = 100");
        row.next();
        row.updateString(2, "changed");
        row.updateRow();
        connection.commit();
        Savepoint savepoint = connection.setSavepoint();
        scrolled.executeUpdate("delete from tool_customers where cust_id > 100");
        connection.rollback(savepoint);
        connection.commit();
        ResultSet left = scrolled.executeQuery("select count(*), min(name) from tool_customers where cust_id >= 100");
        left.next();
        System.out.println("left: " + left.getInt(1) + " " + left.getString(2));
        scrolled.setQueryTimeout(1);
        try {
            scrolled.executeQuery("select count(*) from tool_customers a, tool_customers b, tool_customers c, tool_customers d, tool_customers e, tool_customers f, tool_customers g, tool_customers h");
        } catch (SQLException error) {
            System.out.println("timeout: " + error.getSQLState());
        }
        connection.rollback();
        scrolled.executeUpdate("delete from tool_customers where cust_id >= 100");
        connection.commit();
    }
}
