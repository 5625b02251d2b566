using OpenTelemetry;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace Reports;

/// <summary>A provider that was made before the snapshot, with the instance's id of OpenTelemetry's own making.</summary>
public class Traced
{
    private readonly TracerProvider provider =
        Sdk.CreateTracerProviderBuilder().ConfigureResource(resource => resource.AddService("reports")).Build();

    public object Handle() => provider.GetResource().Attributes.First(each => each.Key == "service.instance.id").Value;
}
