// The same for Go; see config.ru. The test writes the pages' functions next to it.
package main

import (
	"io"
	"net/http"
	"os"
	"time"
)

func released() {
	for {
		if _, err := os.Stat("release"); err == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func answer(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/late":
		os.WriteFile("begun-late", nil, 0o644)
		released()
		io.WriteString(w, "fast\n")
	case "/slow":
		io.WriteString(w, "begun\n")
		w.(http.Flusher).Flush()
		released()
		io.WriteString(w, "done\n")
	default:
		io.WriteString(w, "fast\n")
	}
}

func main() {
	handler := closeWhileDraining(http.HandlerFunc(answer))
	if err := serve(&http.Server{Addr: "127.0.0.1:8080", Handler: handler}); err != nil {
		panic(err)
	}
}
