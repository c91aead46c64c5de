import java.math.BigDecimal;
import java.sql.CallableStatement;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLWarning;
import java.sql.Statement;
import java.sql.Types;

/** Procedures and functions through CallableStatement: URL, user, password. */
public class Calls {
  public static void main(String[] given) throws Exception {
    for (String mode : new String[] {"select", "callIfNoReturn", "call"}) {
      String url = given[0] + "?escapeSyntaxCallMode=" + mode;
      try (Connection connection = DriverManager.getConnection(url, given[1], given[2])) {
        create(connection);
        call(connection, mode);
        connection.setAutoCommit(false); // cursors end with their transaction
        cursors(connection, mode);
      }
    }
  }

  static void create(Connection connection) throws Exception {
    try (Statement statement = connection.createStatement()) {
      statement.execute(
          "DO $$ CREATE OR REPLACE PROCEDURE jdbc_p(a IN NUMBER, b OUT NUMBER, c IN OUT VARCHAR2) IS"
              + " BEGIN b := a * 2; c := c || '!'; END; $$");
      statement.execute(
          "DO $$ CREATE OR REPLACE FUNCTION jdbc_f(a NUMBER) RETURN VARCHAR2 IS"
              + " BEGIN RETURN 'f' || a; END; $$");
      statement.execute(
          "DO $$ CREATE OR REPLACE PROCEDURE jdbc_r(a NUMBER, n OUT NUMBER, c OUT SYS_REFCURSOR) IS"
              + " BEGIN n := a; OPEN c FOR SELECT elementid#, 'e' FROM dual; END; $$");
      statement.execute(
          "DO $$ CREATE OR REPLACE FUNCTION jdbc_c(a NUMBER) RETURN SYS_REFCURSOR IS"
              + " c SYS_REFCURSOR; BEGIN OPEN c FOR SELECT a, 'c' FROM dual; RETURN c; END; $$");
      statement.execute("DO $$ BEGIN DBMS_OUTPUT.PUT_LINE('a;b'); END; $$");
      SQLWarning told = statement.getWarnings();
      System.out.println("output: " + told.getMessage());
    }
  }

  static void call(Connection connection, String mode) throws Exception {
    try (CallableStatement call = connection.prepareCall("{call jdbc_p(?, ?, ?)}")) {
      call.setBigDecimal(1, new BigDecimal(4));
      call.registerOutParameter(2, Types.NUMERIC);
      call.setString(3, "x");
      call.registerOutParameter(3, Types.VARCHAR);
      call.execute();
      System.out.println(mode + ": " + call.getBigDecimal(2) + " " + call.getString(3));
    }
    if (mode.equals("call")) return; // then pgjdbc sends functions in a form of its own
    try (CallableStatement call = connection.prepareCall("{? = call jdbc_f(?)}")) {
      call.registerOutParameter(1, Types.VARCHAR);
      call.setInt(2, 7);
      call.execute();
      System.out.println(mode + ": " + call.getString(1));
    }
  }

  static void cursors(Connection connection, String mode) throws Exception {
    try (CallableStatement call = connection.prepareCall("{call jdbc_r(?, ?, ?)}")) {
      call.setInt(1, 6);
      call.registerOutParameter(2, Types.NUMERIC);
      call.registerOutParameter(3, Types.REF_CURSOR);
      call.execute();
      try (ResultSet rows = (ResultSet) call.getObject(3)) {
        while (rows.next()) {
          System.out.println(mode + " cursor: " + call.getBigDecimal(2) + " " + rows.getString(2));
        }
      }
    }
    if (mode.equals("call")) return;
    try (CallableStatement call = connection.prepareCall("{? = call jdbc_c(?)}")) {
      call.registerOutParameter(1, Types.REF_CURSOR);
      call.setInt(2, 7);
      call.execute();
      try (ResultSet rows = call.getObject(1, ResultSet.class)) {
        while (rows.next()) {
          System.out.println(mode + " cursor: " + rows.getInt(1) + " " + rows.getString(2));
        }
      }
    }
    connection.commit();
  }
}
