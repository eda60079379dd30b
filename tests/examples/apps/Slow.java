// The same for Tomcat; see config.ru.
import jakarta.servlet.annotation.WebServlet;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

@WebServlet("/")
public class Slow extends HttpServlet {
    static void released() throws IOException {
        try {
            while (!Files.exists(Path.of("release"))) Thread.sleep(20);
        } catch (InterruptedException e) {
            throw new IOException(e);
        }
    }

    @Override
    protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
        var out = response.getOutputStream();
        switch (request.getRequestURI()) {
            case "/late" -> {
                Files.writeString(Path.of("begun-late"), "");
                released();
                out.print("fast\n");
            }
            case "/slow" -> {
                out.print("begun\n");
                response.flushBuffer();
                released();
                out.print("done\n");
            }
            default -> out.print("fast\n");
        }
    }
}
