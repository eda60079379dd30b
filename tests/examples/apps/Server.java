// The same for Java; see config.ru. The hook is the one that the page shows;
// NO_HOOK leaves it out.
import com.sun.net.httpserver.HttpServer;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.Executors;

public class Server {
    public static void main(String[] args) throws Exception {
        var address = new InetSocketAddress(InetAddress.getLoopbackAddress(), 8080);
        var server = HttpServer.create(address, 0);
        server.createContext("/", exchange -> {
            exchange.sendResponseHeaders(200, 0);
            try (var out = exchange.getResponseBody()) {
                if (!exchange.getRequestURI().getPath().equals("/slow")) {
                    out.write("fast\n".getBytes());
                    return;
                }
                out.write("begun\n".getBytes());
                out.flush();
                while (!Files.exists(Path.of("release"))) Thread.sleep(20);
                out.write("done\n".getBytes());
            } catch (InterruptedException e) {
                throw new java.io.IOException(e);
            }
        });
        server.setExecutor(Executors.newCachedThreadPool());
        if (System.getenv("NO_HOOK") == null) {
            Runtime.getRuntime().addShutdownHook(new Thread(() -> server.stop(10)));
        }
        server.start();
    }
}
