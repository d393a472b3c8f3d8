import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.Supplier;
import org.apache.lucene.analysis.core.KeywordTokenizer;
import org.apache.lucene.analysis.core.LetterTokenizer;
import org.apache.lucene.analysis.core.WhitespaceTokenizer;
import org.apache.lucene.analysis.miscellaneous.ASCIIFoldingFilter;
import org.elasticsearch.action.ActionListener;
import org.elasticsearch.cluster.node.DiscoveryNode;
import org.elasticsearch.common.bytes.BytesArray;
import org.elasticsearch.common.bytes.BytesReference;
import org.elasticsearch.common.component.AbstractLifecycleComponent;
import org.elasticsearch.common.io.stream.NamedWriteableRegistry;
import org.elasticsearch.common.lease.Releasable;
import org.elasticsearch.common.network.NetworkService;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.common.transport.BoundTransportAddress;
import org.elasticsearch.common.transport.TransportAddress;
import org.elasticsearch.common.util.BigArrays;
import org.elasticsearch.common.util.PageCacheRecycler;
import org.elasticsearch.common.util.concurrent.ThreadContext;
import org.elasticsearch.common.xcontent.NamedXContentRegistry;
import org.elasticsearch.env.Environment;
import org.elasticsearch.http.HttpChannel;
import org.elasticsearch.http.HttpInfo;
import org.elasticsearch.http.HttpRequest;
import org.elasticsearch.http.HttpResponse;
import org.elasticsearch.http.HttpServerTransport;
import org.elasticsearch.http.HttpStats;
import org.elasticsearch.index.analysis.PreConfiguredTokenFilter;
import org.elasticsearch.index.analysis.PreConfiguredTokenizer;
import org.elasticsearch.indices.breaker.CircuitBreakerService;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.AnalysisPlugin;
import org.elasticsearch.plugins.NetworkPlugin;
import org.elasticsearch.plugins.Plugin;
import org.elasticsearch.rest.AbstractRestChannel;
import org.elasticsearch.rest.RestRequest;
import org.elasticsearch.rest.RestResponse;
import org.elasticsearch.rest.RestStatus;
import org.elasticsearch.threadpool.ThreadPool;
import org.elasticsearch.transport.ConnectTransportException;
import org.elasticsearch.transport.ConnectionProfile;
import org.elasticsearch.transport.RequestHandlerRegistry;
import org.elasticsearch.transport.Transport;
import org.elasticsearch.transport.TransportMessageListener;
import org.elasticsearch.transport.TransportRequest;
import org.elasticsearch.transport.TransportStats;

/**
 * A real Elasticsearch node of one, out of a jar that has its server but neither its network nor its analysis modules.
 * Those two are here: HTTP by the JDK's own server on loopback, a transport that reaches nobody, and what the tests use of
 * analysis. Usage: {@code SearchNode HOME}; prints the port when it answers, and ends when its standard input does.
 */
public class SearchNode extends Node {
    private SearchNode(Environment environment) {
        super(environment, List.of(Network.class, AnalysisParts.class), true);
    }

    public static void main(String[] arguments) throws Exception {
        Path home = Path.of(arguments[0]);
        Files.createDirectories(home.resolve("config"));
        Settings settings = Settings.builder()
            .put("path.home", home.toString())
            .put("path.data", home.resolve("data").toString())
            .putList("path.repo", home.resolve("repositories").toString())
            .put("cluster.name", "tests")
            .put("discovery.type", "single-node")
            .put("transport.type", "nobody")
            .put("http.type", "jdk")
            .put("cluster.routing.allocation.disk.threshold_enabled", false)
            .put("cluster.max_shards_per_node", 20_000)
            .build();
        SearchNode node = new SearchNode(InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), null, () -> "tests"));
        node.start();
        HttpServerTransport http = node.injector().getInstance(HttpServerTransport.class);
        System.out.println("port " + http.boundAddress().publishAddress().getPort());
        System.out.flush();
        while (System.in.read() >= 0) {
            // whoever started this process still holds the other end
        }
        node.close();
        System.exit(0);
    }

    /** Finds both transports by the names in the settings. */
    public static class Network extends Plugin implements NetworkPlugin {
        @Override
        public Map<String, Supplier<Transport>> getTransports(Settings settings, ThreadPool threads, PageCacheRecycler pages,
                CircuitBreakerService breakers, NamedWriteableRegistry writeables, NetworkService network) {
            return Map.of("nobody", NoTransport::new);
        }

        @Override
        public Map<String, Supplier<HttpServerTransport>> getHttpTransports(Settings settings, ThreadPool threads,
                BigArrays arrays, PageCacheRecycler pages, CircuitBreakerService breakers, NamedXContentRegistry contents,
                NetworkService network, HttpServerTransport.Dispatcher dispatcher) {
            return Map.of("jdk", () -> new Http(threads, contents, dispatcher));
        }
    }

    /** Of the module analysis-common: what the embedded engine has, too. */
    public static class AnalysisParts extends Plugin implements AnalysisPlugin {
        @Override
        public List<PreConfiguredTokenizer> getPreConfiguredTokenizers() {
            return List.of(
                PreConfiguredTokenizer.singleton("keyword", KeywordTokenizer::new),
                PreConfiguredTokenizer.singleton("whitespace", WhitespaceTokenizer::new),
                PreConfiguredTokenizer.singleton("letter", LetterTokenizer::new));
        }

        @Override
        public List<PreConfiguredTokenFilter> getPreConfiguredTokenFilters() {
            return List.of(PreConfiguredTokenFilter.singleton("asciifolding", true, ASCIIFoldingFilter::new));
        }
    }

    /** Requests come in through the JDK's HTTP server. */
    private static class Http extends AbstractLifecycleComponent implements HttpServerTransport {
        private final ThreadPool threads;
        private final NamedXContentRegistry contents;
        private final Dispatcher dispatcher;
        private final ExecutorService workers = Executors.newFixedThreadPool(8);
        private HttpServer server;

        Http(ThreadPool threads, NamedXContentRegistry contents, Dispatcher dispatcher) {
            this.threads = threads;
            this.contents = contents;
            this.dispatcher = dispatcher;
        }

        @Override
        protected void doStart() {
            try {
                server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 128);
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
            server.setExecutor(workers);
            server.createContext("/", this::handle);
            server.start();
        }

        @Override
        protected void doStop() {
            server.stop(0);
            workers.shutdown();
        }

        @Override
        protected void doClose() {
        }

        @Override
        public BoundTransportAddress boundAddress() {
            return bound(server.getAddress());
        }

        @Override
        public HttpInfo info() {
            return new HttpInfo(boundAddress(), 100 << 20);
        }

        @Override
        public HttpStats stats() {
            return new HttpStats(0, 0);
        }

        private void handle(HttpExchange exchange) throws IOException {
            try (exchange) {
                RestResponse response;
                try {
                    response = answer(exchange);
                } catch (Exception error) {
                    error.printStackTrace();
                    send(exchange, 500, error.toString().getBytes(StandardCharsets.UTF_8));
                    return;
                }
                exchange.getResponseHeaders().set("Content-Type", response.contentType());
                response.getHeaders().forEach((name, values) -> exchange.getResponseHeaders().put(name, values));
                send(exchange, response.status().getStatus(), BytesReference.toBytes(response.content()));
            }
        }

        private RestResponse answer(HttpExchange exchange) throws Exception {
            RestRequest request = RestRequest.request(contents, new Request(exchange), new Channel());
            CompletableFuture<RestResponse> response = new CompletableFuture<>();
            AbstractRestChannel channel = new AbstractRestChannel(request, true) {
                @Override
                public void sendResponse(RestResponse made) {
                    response.complete(made);
                }
            };
            ThreadContext context = threads.getThreadContext();
            try (ThreadContext.StoredContext ignored = context.stashContext()) {
                dispatcher.dispatchRequest(request, channel, context);
            }
            return response.get();
        }

        private static void send(HttpExchange exchange, int status, byte[] body) throws IOException {
            // without it a client of version 8 or 9 takes no answer
            exchange.getResponseHeaders().set("X-Elastic-Product", "Elasticsearch");
            boolean empty = body.length == 0 || exchange.getRequestMethod().equals("HEAD");
            exchange.sendResponseHeaders(status, empty ? -1 : body.length);
            if (!empty) {
                exchange.getResponseBody().write(body);
            }
        }
    }

    /** One request; media types of later versions are given the name that version 7 knows. */
    private static class Request implements HttpRequest {
        private final RestRequest.Method method;
        private final String uri;
        private final BytesReference content;
        private final Map<String, List<String>> headers;

        Request(HttpExchange exchange) throws IOException {
            this(RestRequest.Method.valueOf(exchange.getRequestMethod()), exchange.getRequestURI().toString(),
                new BytesArray(exchange.getRequestBody().readAllBytes()), new TreeMap<>(String.CASE_INSENSITIVE_ORDER));
            headers.putAll(exchange.getRequestHeaders());
            headers.computeIfPresent("Accept", (name, values) -> List.of(mediaType(values.get(0))));
            headers.computeIfPresent("Content-Type",
                (name, values) -> content.length() == 0 ? null : List.of(mediaType(values.get(0))));
        }

        private Request(RestRequest.Method method, String uri, BytesReference content, Map<String, List<String>> headers) {
            this.method = method;
            this.uri = uri;
            this.content = content;
            this.headers = headers;
        }

        private static String mediaType(String given) {
            if (given.contains("ndjson")) {
                return "application/x-ndjson";
            }
            return given.contains("json") ? "application/json" : given;
        }

        @Override
        public RestRequest.Method method() {
            return method;
        }

        @Override
        public String uri() {
            return uri;
        }

        @Override
        public BytesReference content() {
            return content;
        }

        @Override
        public Map<String, List<String>> getHeaders() {
            return headers;
        }

        @Override
        public List<String> strictCookies() {
            return List.of();
        }

        @Override
        public HttpVersion protocolVersion() {
            return HttpVersion.HTTP_1_1;
        }

        @Override
        public HttpRequest removeHeader(String header) {
            Map<String, List<String>> others = new TreeMap<>(headers);
            others.remove(header);
            return new Request(method, uri, content, others);
        }

        @Override
        public HttpResponse createResponse(RestStatus status, BytesReference body) {
            throw new UnsupportedOperationException("answers go through the REST channel");
        }
    }

    /** The connection of a request; the answer does not go through it. */
    private static class Channel implements HttpChannel {
        @Override
        public void sendResponse(HttpResponse response, ActionListener<Void> listener) {
            throw new UnsupportedOperationException("answers go through the REST channel");
        }

        @Override
        public InetSocketAddress getLocalAddress() {
            return new InetSocketAddress(InetAddress.getLoopbackAddress(), 0);
        }

        @Override
        public InetSocketAddress getRemoteAddress() {
            return getLocalAddress();
        }

        @Override
        public void addCloseListener(ActionListener<Void> listener) {
        }

        @Override
        public boolean isOpen() {
            return true;
        }

        @Override
        public void close() {
        }
    }

    /** Between nodes. There is one, so it opens no socket and refuses every connection. */
    private static class NoTransport extends AbstractLifecycleComponent implements Transport {
        private final Map<String, RequestHandlerRegistry<? extends TransportRequest>> handlers = new ConcurrentHashMap<>();
        private final ResponseHandlers responses = new ResponseHandlers();

        @Override
        public <R extends TransportRequest> void registerRequestHandler(RequestHandlerRegistry<R> handler) {
            handlers.put(handler.getAction(), handler);
        }

        @Override
        public RequestHandlerRegistry<? extends TransportRequest> getRequestHandler(String action) {
            return handlers.get(action);
        }

        @Override
        public Releasable openConnection(DiscoveryNode node, ConnectionProfile profile, ActionListener<Connection> listener) {
            listener.onFailure(new ConnectTransportException(node, "this cluster has one node"));
            return () -> { };
        }

        @Override
        public BoundTransportAddress boundAddress() {
            return bound(new InetSocketAddress(InetAddress.getLoopbackAddress(), 9300));
        }

        @Override
        public Map<String, BoundTransportAddress> profileBoundAddresses() {
            return Map.of();
        }

        @Override
        public TransportAddress[] addressesFromString(String address, int limit) {
            return new TransportAddress[0];
        }

        @Override
        public List<String> getLocalAddresses() {
            return List.of();
        }

        @Override
        public ResponseHandlers getResponseHandlers() {
            return responses;
        }

        @Override
        public TransportStats getStats() {
            return new TransportStats(0, 0, 0, 0, 0);
        }

        @Override
        public void addMessageListener(TransportMessageListener listener) {
        }

        @Override
        public boolean removeMessageListener(TransportMessageListener listener) {
            return true;
        }

        @Override
        protected void doStart() {
        }

        @Override
        protected void doStop() {
        }

        @Override
        protected void doClose() {
        }
    }

    private static BoundTransportAddress bound(InetSocketAddress socket) {
        TransportAddress address = new TransportAddress(socket);
        return new BoundTransportAddress(new TransportAddress[] {address}, address);
    }
}
