// The same for Java; see config.ru. The test writes Pages.java, with the pages' code.
import com.sun.net.httpserver.HttpServer;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.Executors;

public class Server {
    static void released() {
        try {
            while (!Files.exists(Path.of("release"))) Thread.sleep(20);
        } catch (InterruptedException e) {
            throw new RuntimeException(e);
        }
    }

    public static void main(String[] args) throws Exception {
        var address = new InetSocketAddress(InetAddress.getLoopbackAddress(), 8080);
        var server = HttpServer.create(address, 0);
        var context = server.createContext("/", exchange -> {
            var path = exchange.getRequestURI().getPath();
            if (path.equals("/late")) {
                Files.writeString(Path.of("begun-late"), "");
                released();
            }
            exchange.sendResponseHeaders(200, 0);
            try (var out = exchange.getResponseBody()) {
                if (!path.equals("/slow")) {
                    out.write("fast\n".getBytes());
                    return;
                }
                out.write("begun\n".getBytes());
                out.flush();
                released();
                out.write("done\n".getBytes());
            }
        });
        server.setExecutor(Executors.newCachedThreadPool());
        Pages.install(server, context);
        server.start();
    }
}
