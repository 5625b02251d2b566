using Amazon.Lambda.Core;

namespace Amazon.Lambda.AspNetCoreServer.Hosting;

public class HostingOptions
{
    public ILambdaSerializer Serializer { get; set; }

    public bool IncludeUnhandledExceptionDetailInResponse { get; set; }
}
